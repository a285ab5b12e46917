"""What the pages on trust and architecture say of times and of isolation, and what tries it."""

from __future__ import annotations

import pytest

from tests.folding import for_each

from .cheats import every_cheat
from .claims import CHECKOUT, exists

PAGE, ARCHITECTURE = (
    (CHECKOUT / "docs" / "explanation" / name).read_text()
    for name in ("trust.md", "architecture.md")
)
JUDGE = "tests/tools/judge"
LAUNCHED = f"{JUDGE}/replay/test_launched_work.py"
SEALED = f"{JUDGE}/timing/test_sealed_timing.py"
RUNNER = "tests/tools/runner/test_serve.py"
RUNNER_PROCESS = f"{JUDGE}/processes/test_runner_process.py"
VALIDATION = f"{JUDGE}/replay/test_validation.py"
SANDBOX = "tests/tools/candidate/sandbox"
KEPT = f"{JUDGE}/timing/programs"
CHEATS = {cheat.name for cheat in every_cheat()}

PARTS = {
    "the runner loads cubins, no host code": (
        "clock/replaced_clock_functions",
        "clock/replaced_bytecode",
        "clock/overwritten_machine_code",
        "clock/flush_cleaned",
        "clock/flush_left_out",
        "clock/proxy_on_the_socket",
        "clock/forged_message",
        "tests/test_layout.py::test_a_process_knows_only_what_it_may",
    ),
    "new inputs at each replay": (
        "clock/plan_that_carries_results",
        "clock/plan_that_ends_early",
        "clock/memo_keyed_by_a_hash",
        "clock/memo_keyed_by_address",
        "clock/memo_in_a_device_variable",
        f"{SEALED}::test_candidate_and_baseline_see_the_same_fresh_inputs_and_poison",
        f"{SEALED}::test_what_cannot_be_sealed_is_claimed_with_the_reason_and_never_blamed",
        f"{RUNNER}::test_scratch_is_poisoned_and_restored_before_the_launch_and_the_flush",
        f"{JUDGE}/replay/test_output_checks.py::"
        "test_a_wrong_output_after_a_right_one_on_the_same_inputs_is_found",
    ),
    "a held-out size that is right when called": (
        "clock/recorder_known_by_its_addresses",
        "clock/recorder_known_by_its_allocator",
        f"{JUDGE}/timing/test_held_out_timing.py::"
        "test_times_beside_a_wrong_replay_of_another_size_are_claimed",
        f"{JUDGE}/test_trial_timing.py::"
        "test_a_wrong_replay_of_one_held_out_size_makes_every_public_time_claimed",
    ),
    "the recorded kernels, grids and blocks": (
        "clock/plan_of_another_kernel",
        "clock/plan_with_a_smaller_grid",
        "clock/plan_without_a_launch",
        "clock/plan_with_the_same_names",
        f"{LAUNCHED}::test_what_an_ordinary_call_launches_more_or_less_often_is_named",
        f"{LAUNCHED}::test_a_kernel_that_a_process_never_launched_is_named",
        f"{SEALED}::test_a_plan_of_other_launches_than_ordinary_calls_make_is_a_violation",
    ),
    "each parameter of up to eight bytes": (
        "clock/plan_with_other_parameters",
        "clock/plan_with_another_scalar",
        f"{LAUNCHED}::test_another_parameter_than_the_recorded_one_is_a_violation",
        f"{LAUNCHED}::test_tensors_that_moved_and_scratch_are_no_difference",
    ),
    "shared and local memory are overwritten": (
        "clock/window_that_persists",
        "clock/inputs_kept_in_the_l2",
        f"{RUNNER}::test_shared_and_local_memory_are_overwritten_before_each_replay",
        f"{RUNNER}::test_lines_that_persist_in_the_l2_are_reset_before_each_call",
        f"{RUNNER}::test_a_plan_whose_kernels_call_malloc_says_what_they_can_keep",
    ),
    "cubins and addresses of a plan are checked": (
        "clock/plan_with_forged_addresses",
        "clock/plan_with_forged_strides",
        f"{VALIDATION}::test_a_plan_is_refused_for_its_fault",
        f"{JUDGE}/replay/test_recorded_call.py::test_an_output_said_to_lie_elsewhere_is_refused",
        f"{RUNNER}::test_memory_that_is_not_mapped_is_neither_read_nor_written",
    ),
    "every process of a candidate": (
        "clock/thread_that_takes_bandwidth",
        "clock/thread_that_takes_power",
        "clock/child_that_takes_bandwidth",
        f"{SEALED}::test_no_process_of_a_candidate_runs_while_runners_replay",
        "tests/tools/candidate/process/test_zygote.py::"
        "test_what_a_supervisor_started_is_stopped_and_goes_on_and_the_supervisor_never_stops",
    ),
    "one runner for one program": (
        f"{KEPT}/test_trial_runners.py::test_a_kept_runner_is_given_no_plan_but_the_baselines",
        f"{SEALED}::test_runners_end_with_the_timing",
        f"{RUNNER_PROCESS}::test_a_runner_gets_no_secret_of_the_judge",
        f"{RUNNER_PROCESS}::test_a_runner_is_confined_as_a_candidate_is",
    ),
    "two clocks that must agree": (
        "clock/paused_activity",
        "clock/filtered_activity",
        "clock/copies_like_the_runners",
        f"{JUDGE}/replay/test_decision.py::test_each_fault_is_the_reason_of_a_claim",
        f"{JUDGE}/replay/test_witness.py::test_a_span_told_as_half_of_what_it_is_is_refused",
        f"{JUDGE}/replay/test_wall_clock.py::"
        "test_a_runner_whose_records_shorten_everything_is_unlike",
    ),
}
"""By the beginning of a row of 'What each part of a sealed time stops'."""

STEPS = {
    "`uid`": (
        f"{SANDBOX}/test_enter.py::test_root_is_granted_another_user_and_its_own_namespaces",
        f"{SANDBOX}/test_enter.py::test_candidates_cannot_signal_each_other",
    ),
    "`userns`": (
        f"{SANDBOX}/test_ordinary_user.py::"
        "test_namespaces_are_granted_by_a_user_namespace_and_its_rights_given_up",
    ),
    "`pid`": (
        f"{SANDBOX}/test_enter.py::test_the_judges_descriptors_cannot_be_opened",
        f"{SANDBOX}/test_enter.py::test_the_judge_and_the_zygote_cannot_be_signalled",
    ),
    "`net`, `ipc`, `uts`": (
        f"{SANDBOX}/test_enter.py::test_there_is_no_network",
        f"{SANDBOX}/test_enter.py::test_shared_memory_and_the_name_of_the_host_are_its_own",
    ),
    "`mount`, `private_home`": (
        f"{SANDBOX}/test_enter.py::test_neither_oracles_nor_evaluations_can_be_read",
        f"{SANDBOX}/test_enter.py::test_only_the_judges_environment_is_there",
    ),
    "`landlock`": (
        f"{SANDBOX}/test_enter.py::test_nothing_outside_the_private_folder_can_be_written",
    ),
    "`seccomp`": (
        f"{SANDBOX}/test_enter.py::test_refused_system_calls_answer_that_they_are_not_permitted",
        f"{SANDBOX}/test_kernel_fences.py::"
        "test_every_named_call_is_refused_and_its_neighbours_are_not",
    ),
    "`no_new_privs`, `not_dumpable`": (
        f"{SANDBOX}/test_enter.py::"
        "test_bounds_are_in_force_and_nothing_that_it_starts_gains_rights",
        f"{SANDBOX}/test_ordinary_user.py::test_the_zygote_of_the_same_user_cannot_be_reached",
    ),
    "`rlimits`": (
        f"{SANDBOX}/test_enter.py::"
        "test_bounds_are_in_force_and_nothing_that_it_starts_gains_rights",
        f"{SANDBOX}/test_enter.py::test_processes_are_bounded_and_a_burst_of_them_is_reaped",
    ),
    "`signing_key`": (
        f"{SANDBOX}/test_machines.py::test_a_candidate_is_called_its_refused_steps_are_named_and_it_ends_with_the_judge",
    ),
}
"""By the first cell of a row of 'What isolates a candidate'."""

SENTENCES = {
    "No candidate's plan is ever loaded into such a runner.": (
        f"{KEPT}/test_trial_runners.py::test_a_kept_runner_is_given_no_plan_but_the_baselines",
    ),
    "Its own clock is looked at in each evaluation, by the same yardstick": (
        f"{KEPT}/test_trial_runners.py::test_a_kept_runner_must_measure_as_the_candidates_does",
    ),
    "the wall time of batches bounded its plan when that was new": (
        f"{KEPT}/test_trial_runners.py::test_a_kept_plan_is_bounded_once_and_a_candidates_each_time",
    ),
    "It is ended by replays that end in anything but sealed times, by another operator": (
        f"{KEPT}/test_trial_runners.py::"
        "test_replays_that_end_in_anything_but_sealed_times_leave_nothing_kept",
        f"{KEPT}/test_kept_baseline.py::"
        "test_another_operator_ends_it_and_another_baseline_replaces_it",
    ),
    "more than 8 % of the device's memory or less than a quarter of it is free": (
        f"{KEPT}/test_kept_baseline.py::test_runners_that_take_more_memory_than_they_may_are_ended",
        f"{KEPT}/test_kept_baseline.py::test_it_is_dropped_when_little_memory_is_free",
    ),
    "Records that decide a promotion rest on runners of their own.": (
        f"{KEPT}/test_kept_baseline.py::"
        "test_nothing_is_kept_of_others_baselines_or_for_records_that_promote",
    ),
    "A record says where the baseline was recorded before.": (
        f"{KEPT}/test_trial_runners.py::test_a_record_says_that_the_baseline_was_recorded_before",
    ),
    "are not stopped, but for one that is still making its context": (
        f"{JUDGE}/processes/test_context.py::"
        "test_only_what_still_makes_its_context_is_held_while_calls_are_replayed",
        f"{JUDGE}/processes/test_context.py::"
        "test_processes_that_wait_for_a_trial_are_not_stopped_with_candidates",
    ),
    "A number that differs between two ordinary calls in a row is the host's own": (
        f"{LAUNCHED}::test_what_the_host_changes_from_call_to_call_is_no_violation",
    ),
    "a larger parameter that differs, a structure": (
        f"{LAUNCHED}::"
        "test_a_structure_that_differs_is_no_violation_but_cannot_be_said_to_be_the_same",
    ),
    "one whose kernel stands in no source as written": (
        f"{LAUNCHED}::test_a_kernel_of_nobody_known_is_no_violation",
    ),
    "Parameters of library kernels, addresses in memory of the program's own": (
        f"{LAUNCHED}::test_kernels_of_libraries_are_not_compared",
        f"{LAUNCHED}::test_memory_that_the_driver_placed_may_lie_anywhere",
    ),
    "one of the timed calls, drawn by chance, is replayed again": (
        f"{SEALED}::test_calls_that_take_what_their_inputs_say_are_bounded_on_inputs_of_their_own",
    ),
    "what cannot be captured into one is enqueued call by call": (
        f"{RUNNER}::test_what_cannot_be_captured_is_enqueued_one_by_one_and_says_so",
    ),
    "A claimed time that host time would rank has no latency then": (
        f"{JUDGE}/timing/test_paired_timing.py::"
        "test_a_disturbed_machine_is_said_and_never_makes_host_time_rank",
    ),
    "A busy device is waited for, two seconds at most": (
        f"{JUDGE}/machine/test_machine_load.py::test_a_device_that_others_use_is_waited_for",
        f"{JUDGE}/machine/test_machine_load.py::test_a_device_that_others_go_on_using_is_said",
    ),
}
"""By a part of a sentence of trust.md: what tries it. What cannot be promised is not here."""

HOW_TIMES_ARE_TAKEN = {
    "Held-out sizes run in another process of the same kind, whose output is discarded": (
        "values/prints_the_held_out_sizes",
        "verdict/spells_a_size_in_letters",
    ),
    "inputs lie in place in all runners before the first replays, and a runner reads its clocks'": (
        f"{KEPT}/test_turns.py::test_nothing_but_replays_lies_between_two_replays",
    ),
    "has every replay's outputs compared": (
        f"{SEALED}::test_what_cannot_be_sealed_is_claimed_with_the_reason_and_never_blamed",
    ),
    "candidate and baseline are called in turn": (
        f"{JUDGE}/timing/test_paired_timing.py::"
        "test_baseline_and_candidate_take_turns_at_being_first",
    ),
    "three fresh pairs of processes (one at scope `smoke`)": (
        "tests/tools/evaluation/test_plan.py::"
        "test_times_that_rank_are_of_three_pairs_of_processes_and_smokes_of_one",
    ),
    "each of those calls is verified as well": (
        f"{JUDGE}/timing/test_paired_timing.py::test_a_wrong_result_in_any_timed_call_is_found",
    ),
    "Spans are cross-checked against the judge's own clock": (
        f"{JUDGE}/timing/test_paired_timing.py::"
        "test_a_claim_of_more_time_than_passed_is_a_violation",
        f"{JUDGE}/timing/test_paired_timing.py::"
        "test_a_time_below_what_the_device_can_do_is_a_violation",
    ),
    "only the aggregate is told": (
        f"{JUDGE}/timing/test_held_out_timing.py::"
        "test_why_held_out_times_are_claimed_is_told_without_sizes_times_or_foreign_words",
        f"{JUDGE}/timing/test_held_out_timing.py::"
        "test_a_size_that_is_wrong_when_timed_fails_and_is_not_shown",
    ),
    "a process that is still making its context is stopped while calls are timed": (
        f"{JUDGE}/processes/test_context.py::"
        "test_only_what_still_makes_its_context_is_held_while_calls_are_replayed",
    ),
    "Runners keep the driver's eight.": (
        f"{RUNNER_PROCESS}::test_a_runner_has_the_drivers_own_settings",
    ),
}
"""By a part of a sentence of architecture.md."""


def rows_below(words: str) -> list[str]:
    """The first cells of the table that follows a line with these words."""
    lines = iter(PAGE[PAGE.index(words) :].splitlines())
    table = [line for line in _table(lines) if not line.startswith("| ---")]
    return [line.split("|")[1].strip() for line in table[1:]]


def _table(lines):
    begun = False
    for line in lines:
        if line.startswith("|"):
            begun = True
            yield line
        elif begun:
            return


@pytest.mark.parametrize(
    ("words", "tried"),
    [("What each part of a sealed time stops:", PARTS), ("what it means", STEPS)],
    ids=["parts-of-a-sealed-time", "steps-of-the-sandbox"],
)
def test_every_row_is_tried_and_everything_that_is_tried_has_a_row(words, tried):
    rows = rows_below("| word | " * (tried is STEPS) + words)
    found = [[key for key in tried if row.startswith(key)] for row in rows]
    assert all(len(keys) == 1 for keys in found), list(zip(rows, found, strict=True))
    assert sorted(key for keys in found for key in keys) == sorted(tried)


@for_each("sentence", [*SENTENCES, *HOW_TIMES_ARE_TAKEN])
def test_a_sentence_that_is_tried_stands_there(sentence):
    assert sentence in " ".join((PAGE if sentence in SENTENCES else ARCHITECTURE).split())


TRIED = {**PARTS, **STEPS, **SENTENCES, **HOW_TIMES_ARE_TAKEN}


@for_each("key", TRIED)
def test_what_tries_it_exists(key):
    for tried in TRIED[key]:
        assert exists(tried) if "::" in tried else tried in CHEATS, tried
