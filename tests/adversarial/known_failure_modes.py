"""Ways in which evaluations of kernels are known to go wrong, and what tries each of them here.

Gathered from published reports, papers and the code of other harnesses; in four families: the time
is wrong, the verdict is reached, the work is not done, or everybody is honest and it is wrong all
the same. `test_claims.py` holds that every cheat named exists, that every cheat is named, and that
one which nothing tries says why.
"""

from __future__ import annotations

from dataclasses import dataclass

JUDGE = "tests/tools/judge"


@dataclass(frozen=True)
class FailureMode:
    """One mode.

    Args:
        description: what goes wrong.
        tried: cheats, as '<family>/<mechanism>', and tests, as 'path::name'.
        untried: why nothing here tries it, and what stands against it.
    """

    description: str
    tried: tuple[str, ...] = ()
    untried: str = ""


TIME = (
    FailureMode("work on a side stream", ("timing/unjoined_stream", "timing/cuda_unjoined_stream")),
    FailureMode(
        "an output read before its stream is done",
        (
            "timing/unjoined_stream",
            f"{JUDGE}/checks/test_integrity.py::test_an_output_that_changes_late_is_a_violation",
        ),
    ),
    FailureMode(
        "results that are computed when somebody looks",
        (
            "memory/lazy_tensor",
            "memory/tensor_subclass",
            "memory/lazy_by_iteration",
            "memory/lazy_by_dispatch_mode",
            "memory/lazy_by_function_mode",
            "memory/lazy_by_patched_context",
            "memory/lazy_by_replaced_copy",
            "memory/lazy_by_profiling_hook",
            "memory/lazy_by_tracing_hook",
            "memory/lazy_by_collector",
            "memory/lazy_by_finaliser",
        ),
    ),
    FailureMode(
        "a thread that finishes later", ("memory/late_write", "memory/signal_after_return")
    ),
    FailureMode("a native thread that finishes later", ("memory/cuda_native_thread",)),
    FailureMode("work on the host before the first kernel", ("timing/host_work",)),
    FailureMode("clocks replaced", ("timing/patched_timers",)),
    FailureMode("events without times", ("timing/patched_timers",)),
    FailureMode("the clock's own marks forged", ("timing/copies_like_the_harness",)),
    FailureMode("a warm-up recognised", ("timing/replay_after_the_checks", "values/call_counter")),
    FailureMode("the judged call recognised", ("values/first_call_only",)),
    FailureMode("answers kept by address", ("values/cached_by_pointer",)),
    FailureMode(
        "answers kept by shape", ("values/cached_by_shape", "values/cuda_answers_kept_by_size")
    ),
    FailureMode("answers kept by a few values", ("values/cached_by_fingerprint",)),
    FailureMode("answers kept in native variables", ("values/cuda_answers_kept_on_the_device",)),
    FailureMode("answers kept on disk", ("values/answers_kept_in_files",)),
    FailureMode(
        "weights prepared once", ("values/weights_prepared_once", "values/triton_counter_not_reset")
    ),
    FailureMode("a graph replayed with stale inputs", ("timing/stale_graph",)),
    FailureMode("several calls' work put into one", ("values/deferred_to_a_later_call",)),
    FailureMode("a graph over a known sequence of inputs", ("values/result_of_the_last_call",)),
    FailureMode(
        "a simulator that is more orderly and more exact than a device",
        (
            "values/new_memory_taken_for_zero",
            "values/triton_needs_an_order_of_programs",
            "values/triton_products_in_tf32",
        ),
    ),
    FailureMode(
        "a judged call known by what outputs hold before it",
        ("values/right_where_outputs_hold_a_pattern",),
    ),
    FailureMode(
        "inputs still in the L2 cache",
        (
            f"{JUDGE}/timing/test_paired_timing.py::test_every_timed_call_has_inputs_of_its_own_at_addresses_of_their_own",
        ),
    ),
    FailureMode(
        "lines of the L2 cache held back",
        untried="They are given back before each timed call, whose addresses are new; a time below "
        "the floor is a violation.",
    ),
    FailureMode(
        "a flush that does not flush",
        untried="Its size follows the device's cache; a record shows cold beside warm times.",
    ),
    FailureMode(
        "the next call's inputs fetched ahead",
        (f"{JUDGE}/calls/test_shared_memory.py::test_placement_differs_from_call_to_call",),
    ),
    FailureMode("a kernel that stays", ("timing/cuda_kernel_that_stays",)),
    FailureMode(
        "a launch that overlaps the one before",
        untried="The device is brought to rest before each timed call.",
    ),
    FailureMode(
        "clocks and power of the device changed",
        (
            f"{JUDGE}/machine/test_clock_monitor.py::test_a_throttle_next_to_a_call_sets_it_aside_and_one_far_off_does_not",
        ),
    ),
    FailureMode("the baseline slowed down", ("verdict/flips_switches",)),
    FailureMode(
        "the baseline timed in another way",
        (
            f"{JUDGE}/timing/test_paired_timing.py::test_baseline_and_candidate_take_turns_at_being_first",
        ),
    ),
    FailureMode(
        "times taken on zeros",
        untried="Timed calls get inputs that are made as those of checked calls are.",
    ),
    FailureMode(
        "a time of nothing",
        (f"{JUDGE}/checks/test_integrity.py::test_a_time_below_the_floor_is_a_violation",),
    ),
    FailureMode("less work when a profiler looks", ("timing/replay_after_the_checks",)),
    FailureMode(
        "a clock that stops too early",
        ("tests/gpu/test_judge.py::test_a_slower_candidate_is_found_slower_by_what_it_sleeps",),
    ),
    FailureMode(
        "numbers that break statistics", ("protocol/number_beyond_all_clocks", "protocol/no_number")
    ),
)

VERDICT = (
    FailureMode("the comparison replaced", ("verdict/patches_the_comparison",)),
    FailureMode(
        "the harness's own functions replaced",
        ("verdict/patches_the_harness", "verdict/patches_the_messages"),
    ),
    FailureMode(
        "expected outputs found in memory",
        (
            "verdict/looks_for_the_reference",
            "verdict/walks_the_stack",
            "verdict/searches_the_shared_memory",
        ),
    ),
    FailureMode(
        "expected outputs overwritten",
        ("verdict/searches_the_shared_memory", "memory/writes_the_judges_copy"),
    ),
    FailureMode("an answer in freed memory", ("values/freed_memory",)),
    FailureMode("inputs zeroed before the reference runs", ("memory/zeroes_inputs_and_answers",)),
    FailureMode(
        "inputs changed for later",
        ("memory/mutated_input", "memory/sorted_in_place", "memory/changes_an_input_for_a_while"),
    ),
    FailureMode(
        "outputs that are inputs or earlier outputs",
        (
            "memory/returned_input",
            "memory/view_of_input",
            "memory/returned_twice",
            "memory/returned_from_a_ring",
        ),
    ),
    FailureMode(
        "outputs that point elsewhere than the caller's buffers",
        ("memory/outputs_given_other_memory", "memory/outputs_swapped_for_others"),
    ),
    FailureMode("the generator of inputs replaced", ("values/seeded_random_generator",)),
    FailureMode("a seed that everybody knows", ("values/guessed_inputs",)),
    FailureMode(
        "a verdict written where one is read",
        (
            "verdict/writes_a_record",
            "protocol/writes_a_verdict",
            "protocol/answers_before_it_computes",
            "protocol/chatters_from_a_thread",
        ),
    ),
    FailureMode("another process's descriptors", ("verdict/opens_the_judges_descriptors",)),
    FailureMode(
        "an exit code taken for a pass",
        (
            "process/exits_with_success",
            "process/system_exit_at_import",
            "process/becomes_another_program",
        ),
    ),
    FailureMode("an earlier run's result taken for this one's", ("verdict/writes_a_record",)),
    FailureMode(
        "an object that runs when it is read",
        ("protocol/nests_without_end", "protocol/kind_of_a_megabyte", "protocol/half_a_frame"),
    ),
    FailureMode("the harness overwritten while building", ("process/poisons_the_build_cache",)),
    FailureMode(
        "a clean-up that fails, and whose failure is the harness's",
        ("process/leaves_folders_nested_deeply", "process/links_into_the_judges_files"),
    ),
    FailureMode(
        "code left to run later",
        ("process/leaves_an_import_hook", "process/leaves_a_daemon"),
    ),
    FailureMode(
        "other people's caches filled",
        ("process/poisons_the_build_cache", "process/links_into_the_judges_files"),
    ),
    FailureMode("switches and environment flipped", ("verdict/flips_switches",)),
    FailureMode(
        "a failure excused",
        (
            "process/claims_to_lack_memory",
            "process/forges_a_fault_of_the_harness",
            "process/swallows_its_own_failure",
            "process/error_that_fails_to_say_itself",
        ),
    ),
    FailureMode(
        "values that are no numbers excused",
        ("values/accepts_its_own_not_a_number", "values/nan_everywhere"),
    ),
    FailureMode("another process's memory", ("verdict/traces_the_judge",)),
    FailureMode(
        "the pipe between processes",
        (
            "protocol/serves_itself",
            "protocol/never_takes_a_request",
            "protocol/announces_a_huge_frame",
            "protocol/sends_descriptors",
            "process/closes_every_descriptor",
        ),
    ),
    FailureMode("a source whose text loosens the test", ("values/says_half_precision",)),
    FailureMode("tests and tolerances within reach", ("verdict/imports_the_comparison",)),
    FailureMode(
        "the machine brought down",
        (
            "process/forks_without_end",
            "process/fills_the_disk",
            "process/wants_all_memory",
            "process/hangs",
            "process/hangs_at_import",
            "process/stops_itself",
            "process/kills_what_it_can",
            "process/prints_megabytes",
            "process/segmentation_fault",
            "process/aborts",
            "process/cuda_illegal_address",
            "process/cuda_kernel_that_never_ends",
        ),
    ),
    FailureMode(
        "text that addresses the reader of the record",
        ("protocol/speaks_to_the_reader", "protocol/speaks_in_control_codes"),
    ),
    FailureMode(
        "held-out cases told to the author",
        (
            "values/prints_the_held_out_sizes",
            "verdict/spells_a_size_in_a_fault",
            "verdict/spells_a_size_in_letters",
            "verdict/spells_a_size_in_a_stray_write",
        ),
    ),
    FailureMode("the answer asked of another machine", ("verdict/asks_the_network",)),
)

WORK = (
    FailureMode(
        "the reference called", ("verdict/reads_the_oracle", "verdict/imports_the_comparison")
    ),
    FailureMode(
        "a library called instead",
        ("library/torch_in_triton_clothes", "library/named_like_a_library"),
    ),
    FailureMode("a library when the kernel fails", ("library/falls_back_to_the_library",)),
    FailureMode("the same past every pattern", ("library/hides_behind_suppressed_errors",)),
    FailureMode("a decoy", ("library/decoy_kernel", "library/kernel_that_opens_a_gate")),
    FailureMode("a kernel that is never launched", ("library/replaces_its_own_kernel",)),
    FailureMode("calls by assembled names", ("library/hides_behind_suppressed_errors",)),
    FailureMode(
        "public sizes only",
        (
            "values/public_sizes_only",
            "values/fails_on_other_sizes",
            "values/wrong_on_a_window_of_sizes",
        ),
    ),
    FailureMode("the public workloads' scalars only", ("values/ignores_a_scalar",)),
    FailureMode("typical values only", ("values/typical_inputs_only", "values/small_inputs_only")),
    FailureMode(
        "constants within a wide tolerance",
        (
            "values/zeros",
            "values/mean_everywhere",
            "values/copied_input",
            "tests/kernels/test_operators.py::test_strict_limits_refuse_what_did_not_do_the_work",
        ),
    ),
    FailureMode(
        "a problem whose answer hangs on nothing",
        ("tests/kernels/test_operators.py::test_strict_limits_refuse_what_did_not_do_the_work",),
    ),
    FailureMode(
        "a share of elements that may be anything",
        ("values/one_percent_of_anything", "values/skipped_rows", "values/skipped_last_column"),
    ),
    FailureMode("either error small enough", ("values/within_the_published_tolerance",)),
    FailureMode(
        "values that compare with nothing",
        (
            "values/infinite",
            f"{JUDGE}/numerics/test_correctness.py::test_non_finite_values_must_match_class_by_class",
        ),
    ),
    FailureMode("a shape that broadcasts", ("values/broadcast_shape", "values/nothing_returned")),
    FailureMode(
        "a lower precision",
        (
            "values/narrow_type",
            "values/half_precision",
            "values/half_precision_sum",
            "values/triton_half_precision",
            "tests/kernels/test_operators.py::test_strict_limits_refuse_bfloat16_outputs_that_were_float8",
        ),
    ),
    FailureMode(
        "structure of the generator",
        ("values/assumes_low_rank", "values/structure_of_the_generator"),
    ),
    FailureMode("another device", ("values/meta_tensor", "memory/not_a_tensor")),
)

ACCIDENT = (
    FailureMode("a launch that failed unseen", ("values/cuda_launch_that_fails",)),
    FailureMode(
        "reads and writes out of bounds, races, parts unwritten",
        (
            "memory/write_past_the_end",
            "memory/write_before_the_start",
            "memory/reads_past_the_input",
            "memory/triton_missing_mask",
            "memory/cuda_store_past_the_end",
            "values/triton_accumulates_into_what_is_there",
            "values/triton_grid_too_small",
            "values/cuda_grid_rounded_down",
            "values/cuda_sum_without_barrier",
        ),
    ),
    FailureMode(
        "other strides or alignments than assumed",
        untried="A definition knows no strides: tensors are contiguous and aligned to 256 bytes.",
    ),
    FailureMode(
        "another order of additions",
        ("honest/another_order_of_summation", "honest/triton_atomics"),
    ),
)

SEALED_TIME = (
    FailureMode(
        "clocks replaced in the process that tells the time",
        (
            "clock/replaced_clock_functions",
            "clock/replaced_bytecode",
            "clock/cannot_be_recorded",
        ),
    ),
    FailureMode("clocks replaced in native code", ("clock/overwritten_machine_code",)),
    FailureMode(
        "activity records left out",
        (
            "clock/paused_activity",
            "clock/filtered_activity",
            "clock/copies_like_the_runners",
        ),
    ),
    FailureMode(
        "times changed on their way to the judge",
        ("clock/forged_message", "clock/proxy_on_the_socket"),
    ),
    FailureMode(
        "a recorded call that is forged",
        (
            "clock/plan_without_a_launch",
            "clock/plan_with_a_smaller_grid",
            "clock/plan_with_another_scalar",
            "clock/plan_with_other_parameters",
            "clock/plan_with_forged_strides",
            "clock/plan_with_forged_addresses",
            "clock/plan_of_another_cubin",
            "clock/replaced_graph",
        ),
    ),
    FailureMode("a recorded call that carries its results", ("clock/plan_that_carries_results",)),
    FailureMode(
        "less work where a call is recorded",
        (
            "clock/plan_of_less_work",
            "clock/plan_of_another_kernel",
            "clock/plan_that_ends_early",
            "clock/plan_with_the_same_names",
            "clock/recorder_known_by_its_callers",
            "clock/recorder_known_by_its_addresses",
            "clock/recorder_known_by_its_allocator",
        ),
    ),
    FailureMode(
        "answers kept on the device",
        (
            "clock/memo_keyed_by_a_hash",
            "clock/memo_keyed_by_address",
            "clock/memo_in_a_device_variable",
        ),
    ),
    FailureMode(
        "work beside the call",
        (
            "clock/thread_that_works_ahead",
            "clock/stream_that_is_not_joined",
            "clock/kernel_behind_a_doorbell",
        ),
    ),
    FailureMode(
        "the cold cache made warm",
        (
            "clock/inputs_kept_in_the_l2",
            "clock/window_that_persists",
            "clock/flush_left_out",
            "clock/flush_cleaned",
        ),
    ),
    FailureMode(
        "the device taken from the baseline",
        (
            "clock/work_left_on_the_device",
            "clock/thread_that_takes_bandwidth",
            "clock/thread_that_takes_power",
            "clock/child_that_takes_bandwidth",
            "clock/memory_that_is_not_freed",
        ),
    ),
    FailureMode("the budget of time used up", ("clock/sleeps_until_the_budget_ends",)),
    FailureMode(
        "launches by kernels",
        untried="Dynamic parallelism needs relocatable device code, for which no binding links.",
    ),
    FailureMode(
        "clock rates set by the candidate",
        untried="The driver asks for rights that a candidate's account lacks, and a test must not "
        "change a machine's settings; samples next to a throttle are set aside.",
    ),
)

LAUNCHED = (
    FailureMode(
        "another way taken where it is judged than where it is used",
        (
            "launches/asks_below_a_call",
            "launches/asks_by_torchscript",
            "launches/asks_how_torch_was_built",
            "launches/goes_on_where_torch_refuses",
            "launches/operator_with_two_kernels",
            "launches/corrected_where_interpreted",
            "launches/cpp_that_branches_on_the_device",
            "launches/prepared_where_interpreted",
            "launches/weights_on_the_host",
            "launches/written_to_a_copy_on_the_host",
            "launches/fewer_programs_where_compiled",
            "launches/interprets_another_kernel",
            "launches/library_where_interpreted",
            "launches/other_code_where_compiled",
            "launches/other_constant_where_compiled",
            "launches/python_that_launches_where_compiled",
            "launches/wrong_on_another_target",
        ),
    ),
    FailureMode(
        "another way taken where there is a GPU",
        (
            "launches/reads_by_address",
            "launches/wrong_for_old_types",
            "launches/wrong_where_the_driver_is",
        ),
    ),
    FailureMode("a configuration that was never judged", ("launches/wrong_in_one_configuration",)),
    FailureMode(
        "a kernel that its device cannot compile", ("launches/hides_what_does_not_compile",)
    ),
)

FAILURE_MODES = (*TIME, *SEALED_TIME, *VERDICT, *WORK, *ACCIDENT, *LAUNCHED)
