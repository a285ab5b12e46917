"""What the judge claims, and the cheats that attack each claim; checked both ways.

A claim without a cheat is hope, a cheat without a claim is noise: `test_claims.py` refuses both.
Some cheats need a GPU: tests/gpu runs those, and the others once more on the device.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Claim:
    """One guarantee.

    Args:
        sentence: what is guaranteed.
        cheats: files that attack it, as '<family>/<mechanism>'.
        elsewhere: tests that attack it by other means, as 'path::name'.
    """

    sentence: str
    cheats: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


def exists(test: str) -> bool:
    """Whether a test given as 'path::name' is there."""
    file, _, name = test.partition("::")
    tree = ast.parse((CHECKOUT / file).read_text())
    return name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


CLAIMS: dict[str, Claim] = {
    "computed_in_every_call": Claim(
        "Every call computes from the values that its inputs hold in that call.",
        (
            "values/cached_by_pointer",
            "values/cached_by_shape",
            "values/cached_by_fingerprint",
            "values/first_call_only",
            "values/call_counter",
            "values/result_of_the_last_call",
            "values/triton_counter_not_reset",
            "values/deferred_to_a_later_call",
            "values/weights_prepared_once",
            "values/structure_of_the_generator",
            "values/guessed_inputs",
            "values/answers_kept_in_files",
            "values/cuda_answers_kept_by_size",
            "values/cuda_answers_kept_on_the_device",
            "timing/stale_graph",
            "timing/replay_after_the_checks",
        ),
    ),
    "every_element_is_right": Claim(
        "Every element of every output is written, and as exact as the declared precision allows.",
        (
            "values/new_memory_taken_for_zero",
            "values/right_where_outputs_hold_a_pattern",
            "values/triton_needs_an_order_of_programs",
            "values/triton_products_in_tf32",
            "values/zeros",
            "values/mean_everywhere",
            "values/copied_input",
            "values/nan_everywhere",
            "values/infinite",
            "values/freed_memory",
            "values/skipped_rows",
            "values/skipped_last_column",
            "values/one_percent_of_anything",
            "values/within_the_published_tolerance",
            "values/half_precision",
            "values/half_precision_sum",
            "values/narrow_type",
            "values/triton_accumulates_into_what_is_there",
            "values/triton_grid_too_small",
            "values/triton_half_precision",
            "values/says_half_precision",
            "values/meta_tensor",
            "values/assumes_low_rank",
            "values/seeded_random_generator",
            "values/accepts_its_own_not_a_number",
            "values/cuda_grid_rounded_down",
            "values/cuda_launch_that_fails",
            "values/cuda_sum_without_barrier",
            "values/broadcast_shape",
            "values/nothing_returned",
            "memory/outputs_given_other_memory",
            "memory/outputs_swapped_for_others",
            "memory/not_a_tensor",
            "memory/reads_past_the_input",
            "process/swallows_its_own_failure",
        ),
        (
            "tests/tools/judge/numerics/test_correctness.py::test_a_fault_at_every_index_is_found_at_every_scale",
        ),
    ),
    "right_beyond_the_public_workloads": Claim(
        "A candidate is right for sizes and contents that it was never shown.",
        (
            "values/public_sizes_only",
            "values/fails_on_other_sizes",
            "values/ignores_a_scalar",
            "values/wrong_on_a_window_of_sizes",
            "values/typical_inputs_only",
            "values/small_inputs_only",
        ),
    ),
    "held_out_cases_stay_hidden": Claim(
        "Nothing that a candidate says while held-out workloads are checked is shown.",
        (
            "values/prints_the_held_out_sizes",
            "verdict/spells_a_size_in_a_fault",
            "verdict/spells_a_size_in_letters",
            "verdict/spells_a_size_in_a_stray_write",
        ),
    ),
    "inputs_unchanged": Claim(
        "A call leaves its inputs as they were, but for those that the definition lets it change.",
        (
            "memory/mutated_input",
            "memory/sorted_in_place",
            "memory/zeroes_inputs_and_answers",
            "memory/changes_an_input_for_a_while",
            "verdict/patches_the_harness",
        ),
    ),
    "writes_stay_inside": Claim(
        "A call writes nothing next to the tensors that it was given.",
        (
            "memory/write_past_the_end",
            "memory/write_before_the_start",
            "memory/triton_missing_mask",
            "memory/cuda_store_past_the_end",
        ),
    ),
    "outputs_own_memory": Claim(
        "Outputs share memory neither with inputs nor with earlier outputs.",
        (
            "memory/returned_input",
            "memory/view_of_input",
            "memory/returned_twice",
            "memory/returned_from_a_ring",
        ),
    ),
    "work_is_joined": Claim(
        "All work is ordered before the end of the call.",
        (
            "memory/late_write",
            "memory/signal_after_return",
            "memory/writes_the_judges_copy",
            "memory/cuda_native_thread",
            "timing/cuda_unjoined_stream",
            "timing/unjoined_stream",
        ),
    ),
    "outputs_exist_on_return": Claim(
        "What is returned are plain tensors whose values exist.",
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
    "ends_only_its_own_trial": Claim(
        "Whatever a candidate's process does, only its own trial fails, and at once.",
        (
            "process/hangs",
            "process/hangs_at_import",
            "process/stops_itself",
            "process/segmentation_fault",
            "process/aborts",
            "process/exits_with_success",
            "process/system_exit_at_import",
            "process/becomes_another_program",
            "process/closes_every_descriptor",
            "process/error_that_fails_to_say_itself",
            "process/forges_a_fault_of_the_harness",
            "process/claims_to_lack_memory",
            "process/wants_all_memory",
            "process/fills_the_disk",
            "process/forks_without_end",
            "process/kills_what_it_can",
            "process/prints_megabytes",
            "process/leaves_a_daemon",
            "process/leaves_folders_nested_deeply",
            "process/leaves_an_import_hook",
            "process/poisons_the_build_cache",
            "process/links_into_the_judges_files",
            "process/cuda_illegal_address",
            "process/cuda_kernel_that_never_ends",
            "timing/cuda_kernel_that_stays",
        ),
    ),
    "speaks_only_when_asked": Claim(
        "What a candidate writes to the judge beside its answers wins nothing and ends its trial.",
        (
            "protocol/writes_a_verdict",
            "protocol/answers_before_it_computes",
            "protocol/announces_a_huge_frame",
            "protocol/half_a_frame",
            "protocol/nests_without_end",
            "protocol/sends_descriptors",
            "protocol/speaks_to_the_reader",
            "protocol/speaks_in_control_codes",
            "protocol/kind_of_a_megabyte",
            "protocol/no_number",
            "protocol/number_beyond_all_clocks",
            "protocol/chatters_from_a_thread",
            "protocol/serves_itself",
            "protocol/never_takes_a_request",
        ),
    ),
    "verdict_is_out_of_reach": Claim(
        "Expected outputs, the comparison and records are where no candidate code can reach.",
        (
            "verdict/looks_for_the_reference",
            "verdict/reads_the_oracle",
            "verdict/imports_the_comparison",
            "verdict/patches_the_comparison",
            "verdict/patches_the_messages",
            "verdict/flips_switches",
            "verdict/opens_the_judges_descriptors",
            "verdict/traces_the_judge",
            "verdict/asks_the_network",
            "verdict/writes_a_record",
            "verdict/walks_the_stack",
            "verdict/searches_the_shared_memory",
        ),
    ),
    "honest_candidates_pass": Claim(
        "Honest candidates pass, suspicious as they may look.",
        (
            "honest/another_order_of_summation",
            "honest/autograd_function",
            "honest/compiled_by_torch",
            "honest/custom_operator",
            "honest/guards_of_a_device",
            "honest/inline_extension",
            "honest/module_with_buffers",
            "honest/scripted_function",
            "honest/streams_and_events",
            "honest/branches_on_values",
            "honest/triton_heuristics",
            "honest/triton_between_torch",
            "honest/relative_imports",
            "honest/probes_its_machine",
            "honest/partial_application",
            "honest/ctypes_library",
            "honest/callable_object",
            "honest/copy_of_an_input_changed",
            "honest/cpp_guards_its_device",
            "honest/counts_and_times_its_calls",
            "honest/cuda_extension",
            "honest/cuda_own_kernel",
            "honest/cuda_with_much_shared_memory",
            "honest/graph_with_copied_inputs",
            "honest/helper_process",
            "honest/honest",
            "honest/honest_by_value",
            "honest/honest_for_every_scalar",
            "honest/honest_triton",
            "honest/joined_stream",
            "honest/keeps_its_last_result",
            "honest/keeps_scratch_memory",
            "honest/launch_parameters_kept_by_shape",
            "honest/leaves_folders_nested_deeply",
            "honest/mode_that_is_left",
            "honest/more_exact_than_asked",
            "honest/output_as_scratch",
            "honest/outputs_that_want_gradients",
            "honest/pool_of_threads",
            "honest/prints_to_stdout",
            "honest/raises_again",
            "honest/returns_a_named_tuple",
            "honest/returns_another_layout",
            "honest/returns_parts_of_one_allocation",
            "honest/switches_of_its_own",
            "honest/temporary_files",
            "honest/temporary_in_another_layout",
            "honest/threads_that_are_joined",
            "honest/triton_atomics",
            "honest/triton_asks_the_device",
            "honest/triton_autotuned",
            "honest/triton_persistent_grid",
            "honest/triton_scratch_of_the_caller",
            "honest/two_joined_streams",
            "honest/views_of_its_outputs",
        ),
    ),
    "not_faster_than_physics": Claim(
        "No latency lies below what the device can physically do.",
        elsewhere=(
            "tests/tools/judge/checks/test_integrity.py::test_a_time_below_the_floor_is_a_violation",
        ),
    ),
    "clock_is_out_of_reach": Claim(
        "Replacing the clocks of Python and torch does not change a measured time.",
        ("timing/patched_timers", "timing/copies_like_the_harness"),
    ),
    "recorded_call_is_ordinary": Claim(
        "A recorded call launches the kernels of ordinary calls, which are not announced, with the "
        "same numbers.",
        (
            "clock/plan_of_another_kernel",
            "clock/plan_of_less_work",
            "clock/plan_that_ends_early",
            "clock/plan_with_a_smaller_grid",
            "clock/plan_with_another_scalar",
            "clock/plan_without_a_launch",
            "clock/recorder_known_by_its_addresses",
            "clock/recorder_known_by_its_allocator",
            "clock/recorder_known_by_its_callers",
        ),
    ),
    "sealed_times_are_true": Claim(
        "No candidate has a sealed time below that of an honest one that does the same work.",
        (
            "clock/cannot_be_recorded",
            "clock/child_that_takes_bandwidth",
            "clock/copies_like_the_runners",
            "clock/filtered_activity",
            "clock/forged_message",
            "clock/flush_cleaned",
            "clock/flush_left_out",
            "clock/inputs_kept_in_the_l2",
            "clock/kernel_behind_a_doorbell",
            "clock/memo_in_a_device_variable",
            "clock/memo_keyed_by_a_hash",
            "clock/memo_keyed_by_address",
            "clock/memory_that_is_not_freed",
            "clock/overwritten_machine_code",
            "clock/paused_activity",
            "clock/plan_of_another_cubin",
            "clock/plan_that_carries_results",
            "clock/plan_with_forged_addresses",
            "clock/plan_with_forged_strides",
            "clock/plan_with_other_parameters",
            "clock/plan_with_the_same_names",
            "clock/proxy_on_the_socket",
            "clock/replaced_bytecode",
            "clock/replaced_clock_functions",
            "clock/replaced_graph",
            "clock/sleeps_until_the_budget_ends",
            "clock/stream_that_is_not_joined",
            "clock/thread_that_takes_bandwidth",
            "clock/thread_that_takes_power",
            "clock/thread_that_works_ahead",
            "clock/window_that_persists",
            "clock/work_left_on_the_device",
        ),
    ),
    "honest_calls_are_sealed": Claim(
        "Honest calls of every kind that can be recorded have sealed times.",
        (
            "clock/honest_autotuned",
            "clock/honest_by_value",
            "clock/honest_cluster",
            "clock/honest_compiled_cluster",
            "clock/honest_cooperative",
            "clock/honest_cuda_malloc",
            "clock/honest_dependent_launch",
            "clock/honest_device_printf",
            "clock/honest_device_tensor_map",
            "clock/honest_driver",
            "clock/honest_function_pointer",
            "clock/honest_kept_content",
            "clock/honest_library",
            "clock/honest_malloc_async",
            "clock/honest_memset_and_atomics",
            "clock/honest_short",
            "clock/honest_sums_apart",
            "clock/honest_tensor_map",
            "clock/honest_tensor_map_in_memory",
            "clock/honest_torch",
            "clock/honest_torch_binding",
            "clock/honest_triton",
            "clock/honest_triton_tensor_map",
            "clock/honest_tvm_ffi",
            "clock/honest_two_launches",
            "clock/honest_two_streams",
            "clock/honest_workspace",
        ),
    ),
    "honest_claimed_calls_say_why": Claim(
        "Honest calls that cannot be recorded pass, and their claimed times have the reason.",
        (
            "clock/claimed_conditional_node",
            "clock/claimed_device_graph_launch",
            "clock/claimed_device_malloc",
            "clock/claimed_dynamic_parallelism",
            "clock/claimed_host_function",
            "clock/claimed_managed_memory",
            "clock/claimed_mapped_memory",
            "clock/claimed_random_state",
            "clock/claimed_seed_as_a_number",
            "clock/claimed_surface",
            "clock/claimed_texture",
        ),
    ),
    "used_as_frameworks_use_it": Claim(
        "A right program that no graph can hold, that torch.compile cannot call, in whose calls "
        "the host waits or that takes much memory is told so.",
        elsewhere=(
            "tests/tools/judge/deployment/test_checks.py::test_each_fault_is_one_warning_and_the_rest_is_checked",
            "tests/gpu/test_deployment.py::test_each_planted_fault_is_found_and_honest_programs_have_none",
        ),
    ),
    "clock_agrees_with_judge": Claim(
        "No claimed time exceeds what the judge saw pass.",
        elsewhere=(
            "tests/tools/judge/checks/test_integrity.py::test_a_claim_beyond_the_wall_clock_is_a_violation",
        ),
    ),
    "no_hidden_host_work": Claim(
        "Host time beyond what launching takes is shown.",
        ("timing/host_work",),
        elsewhere=(
            "tests/tools/judge/checks/test_integrity.py::test_host_time_beyond_launching_is_shown",
        ),
    ),
    "two_clocks_agree": Claim(
        "A second clock sees no more than the first one and launch gaps.",
        elsewhere=(
            "tests/tools/judge/checks/test_integrity.py::test_a_second_clock_that_saw_more_is_shown",
        ),
    ),
    "own_kernels_do_the_work": Claim(
        "With a candidate's own kernels disabled its result is wrong.",
        (
            "library/decoy_kernel",
            "library/replaces_its_own_kernel",
            "library/hides_behind_suppressed_errors",
        ),
        elsewhere=(
            "tests/tools/judge/checks/test_integrity.py::test_a_right_result_without_own_kernels_is_a_violation",
        ),
    ),
    "allowed_libraries_only": Claim(
        "Device time is the candidate's own or that of allowed libraries.",
        (
            "library/torch_in_triton_clothes",
            "library/falls_back_to_the_library",
            "library/named_like_a_library",
            "library/kernel_that_opens_a_gate",
        ),
        elsewhere=(
            "tests/tools/judge/checks/test_integrity.py::test_a_foreign_library_is_a_violation",
        ),
    ),
    "launches_as_compiled": Claim(
        "Without a GPU, what is interpreted and judged is what every target would launch.",
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
            "launches/hides_what_does_not_compile",
            "launches/interprets_another_kernel",
            "launches/library_where_interpreted",
            "launches/other_code_where_compiled",
            "launches/other_constant_where_compiled",
            "launches/python_that_launches_where_compiled",
            "launches/reads_by_address",
            "launches/wrong_for_old_types",
            "launches/wrong_in_one_configuration",
            "launches/wrong_on_another_target",
            "launches/wrong_where_the_driver_is",
        ),
    ),
    "process_is_left_alone": Claim(
        "Threads that outlive a call and clocks that were replaced are told, or refused where an "
        "operator's policy says so.",
        elsewhere=(
            "tests/tools/candidate/process/test_process_signs.py::"
            "test_a_thread_of_the_candidate_that_goes_on_is_found_and_a_pool_at_rest_is_not",
            "tests/tools/candidate/process/test_process_signs.py::test_a_replaced_clock_is_found",
            "tests/tools/judge/checks/test_call_verdict.py::"
            "test_what_a_candidate_leaves_in_its_process_is_told_or_refused",
        ),
    ),
    "set_is_whole": Claim(
        "A whole set is judged whole, or it is told which of its workloads cannot be used.",
        elsewhere=(
            "tests/tools/evaluation/test_whole_sets.py::test_what_a_full_set_leaves_out_is_told",
        ),
    ),
    "outputs_depend_on_inputs": Claim(
        "An output that a constant would pass for is named, as the definition's fault.",
        elsewhere=(
            "tests/tools/judge/test_trial.py::test_an_output_that_does_not_depend_on_inputs_is_named",
        ),
    ),
}
