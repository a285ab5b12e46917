"""An evaluation in words: bounded at any size, true to the record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kernel_harness.server.answers.evaluation.answer import (
    evaluation_answer,
    sol_exec_bench,
    sol_percents,
)
from kernel_harness.server.answers.evaluation.models import EvaluationAnswer
from kernel_harness.server.answers.evaluation.summary import summary
from kernel_harness.server.answers.text import BUDGET_CHARACTERS
from kernel_harness.tools.evaluation.ladder.rung_times import RungTime
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.schema.drawn_inputs import HeldOutResult
from kernel_harness.tools.schema.evaluation import (
    Evaluation,
    Evidence,
    Failure,
    Finding,
    Integrity,
    OutputError,
    Scope,
    Severity,
    Stage,
    StaticCheck,
    StaticKernel,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import (
    Comparison,
    Decision,
    Measurement,
    TimeSource,
    Totals,
)
from tests.records import make_record

from ...scripted import DEFINITION


def answer_of(record: Evaluation, detail: Any = "concise") -> EvaluationAnswer:
    """A new verdict on a program that no archive knows."""
    return evaluation_answer(Evaluated(record), detail)


TEXTS = {
    "short": "words",
    "long": "x" * 50_000,
    "quoted": '"\\' * 9_000,
    "wide": "Ω" * 5_000,
    "control": "\x1b[31m\x00",
}


def evaluation(**fields: Any) -> Evaluation:
    """A pass of nothing, with what the test changes."""
    return make_record(**{"definition": DEFINITION, **fields})


def timed(number: int, latency: float, decision: Decision = Decision.FASTER) -> WorkloadResult:
    """One timed workload."""
    compared = Comparison(
        ratio=1.5,
        interval=(1.4, 1.6),
        confidence=0.99,
        pairs=30,
        wins=30,
        sign_p=0.0,
        threshold=1.02,
        decision=decision,
    )
    return WorkloadResult(
        uuid=f"{number:08x}-0000-4000-8000-000000000000",
        axes={"batch": number},
        status=Status.PASSED,
        latency_us=latency,
        latency_interval_us=(latency * 0.99, latency * 1.01),
        baseline_latency_us=latency * 1.5,
        speedup=1.5,
        comparison=compared,
        floors_us={"H200": latency / 2},
        sol_percent=50.0,
        errors=[OutputError(output="y", max_absolute=1e-3)],
    )


TOTALS = Totals(
    passed=8,
    mean_latency_us=10.2749,
    estimated_full_mean_us=7.7751,
    baseline_mean_latency_us=12.34,
    geometric_mean_ratio=1.28912,
    ratio_interval=(1.2791, 1.2981),
    wins=8,
)
MANY = [timed(n, 1.0 + n) for n in range(400)]


@settings(max_examples=6, deadline=None)
@given(
    workloads=st.integers(0, 400),
    kernels=st.integers(0, 60),
    findings=st.integers(0, 30),
    length=st.sampled_from(sorted(TEXTS)),
    detail=st.sampled_from(["concise", "detailed"]),
)
def test_no_record_is_too_large_for_a_screen(
    workloads: int, kernels: int, findings: int, length: str, detail: Any
) -> None:
    message = TEXTS[length]
    kernel = StaticKernel(name=message, target="sm_90", notes=[message] * 5)
    record = evaluation(
        status=Status.RUNTIME_ERROR,
        stage=Stage.CORRECTNESS,
        failure=Failure(
            stage=Stage.CORRECTNESS,
            kind="crash",
            message=message,
            remedy=message,
            cluster=message,
            excerpt=message,
        ),
        workloads=MANY[:workloads],
        integrity=Integrity(
            checks=["held_out"] * 30,
            not_run={f"check{n}": message for n in range(findings)},
            findings=[Finding(claim="c", severity=Severity.WARNING, message=message)] * findings,
        ),
        static=StaticCheck(status="built", kernels=[kernel] * kernels, failures={"sm_90": message}),
        log=message * 3,
    )
    answer = answer_of(record, detail)
    assert len(answer.model_dump_json()) <= BUDGET_CHARACTERS
    assert len(answer.summary) < 6_000
    assert "\\u001b" not in answer.model_dump_json()


def test_failures_are_shown_before_the_long_ones_and_those_before_the_rest() -> None:
    results = [timed(n, 10.0 + n) for n in range(40)]
    results.append(
        WorkloadResult(uuid="bad", axes={}, status=Status.RUNTIME_ERROR, reason="it crashed")
    )
    answer = answer_of(
        evaluation(
            status=Status.RUNTIME_ERROR,
            stage=Stage.CORRECTNESS,
            workloads=results,
            failure=Failure(stage=Stage.CORRECTNESS, kind="crash", message="m", remedy="r"),
        )
    )
    shown = [part.uuid for part in answer.workloads]
    assert "bad" in shown and results[39].uuid[:8] in shown and results[0].uuid[:8] not in shown
    assert answer.workloads_shown is not None and "of 41" in answer.workloads_shown


def test_a_speedup_is_told_with_its_interval_and_its_baseline() -> None:
    sealed = Measurement(timer="cupti", cold_ns=[4_000], clock=TimeSource.SEALED)
    record = evaluation(
        baseline="triton_baseline",
        workloads=[timed(1, 4.0).model_copy(update={"measurement": sealed})],
        totals=Totals(
            passed=1,
            mean_latency_us=4.0,
            baseline_mean_latency_us=6.0,
            geometric_mean_ratio=1.5,
            ratio_interval=(1.4, 1.6),
            wins=1,
        ),
    )
    whole = answer_of(record, "detailed").summary
    assert "1.5x, 95 % interval 1.4 to 1.6" in whole and "triton_baseline" in whole
    answer = answer_of(record)
    assert "1.5x the baseline, geometric mean, sealed." in answer.summary
    assert (answer.baseline, answer.totals.ratio_interval) == ("triton_baseline", [1.4, 1.6])
    assert "archive_candidate" in answer.next_steps[0] and "full" in answer.next_steps[1]


def test_a_speedup_within_its_interval_is_no_reason_to_promote() -> None:
    answer = answer_of(
        evaluation(
            workloads=[timed(1, 4.0, Decision.EQUAL)],
            totals=Totals(passed=1, mean_latency_us=4.0, ratio_interval=(0.99, 1.02)),
        )
    )
    assert "profile_ncu" in answer.next_steps[0]
    assert not any("promote" in step for step in answer.next_steps)


def test_a_small_scope_points_to_the_next() -> None:
    compiled = answer_of(evaluation(scope=Scope.STATIC, status=Status.COMPILED))
    assert "scope='smoke'" in compiled.next_steps[0]
    assert "nothing has run" in compiled.summary and "passed" not in compiled.summary.lower()
    assert "scope='sample'" in answer_of(evaluation(scope=Scope.SMOKE)).next_steps[0]
    cuda = answer_of(evaluation(scope=Scope.STATIC, status=Status.COMPILED, language="cuda"))
    assert "smoke" not in cuda.next_steps[0] and "GPU" in cuda.next_steps[0]


def test_a_violation_is_never_promoted_and_an_infrastructure_fault_is_not_the_kernels() -> None:
    failure = Failure(stage=Stage.INTEGRITY, kind="k", message="m", remedy="Remove the cache.")
    caught = evaluation(status=Status.INTEGRITY_VIOLATION, stage=Stage.INTEGRITY, failure=failure)
    assert "never promoted" in " ".join(answer_of(caught).next_steps)
    ours = evaluation(status=Status.INFRASTRUCTURE_ERROR, stage=Stage.REQUEST, failure=failure)
    assert "not the candidate's" in " ".join(answer_of(ours).next_steps)


def test_workloads_that_were_not_run_are_never_told_as_passed() -> None:
    answer = answer_of(evaluation(totals=Totals(passed=2, not_run=3)))
    assert "3 not run (never counted as passed)" in answer.summary


def test_what_ran_in_part_is_no_pass_and_says_what_is_missing() -> None:
    reason = "2 of 5 workloads were not run: 16.5 s of its own budget were left"
    record = evaluation(
        status=Status.PARTIAL, partial_reason=reason, totals=Totals(passed=3, not_run=2)
    )
    answer = answer_of(record)
    assert answer.summary.startswith("PARTIAL at scope sample: 3 workloads passed")
    assert reason not in answer.summary and answer.partial_reason == reason
    assert "ranks nor promotes." not in answer.summary and "cpu_budget_s" in answer.next_steps[0]
    whole = answer_of(record, "detailed").summary
    assert reason in whole and answer.next_steps[0] in whole
    assert not any("promote_candidate" in step for step in answer.next_steps)
    with pytest.raises(ValidationError, match="PARTIAL"):
        evaluation(status=Status.PARTIAL, partial_reason=None)
    with pytest.raises(ValidationError, match="latency"):
        evaluation(status=Status.PARTIAL, partial_reason=reason, totals=Totals(mean_latency_us=1.0))


def test_a_budget_that_came_near_its_end_is_told_with_whose_it_was() -> None:
    at = "2026-11-20T22:15:30+00:00"
    seconds = {"candidate_build": 1.2, "reference": 31.0, "candidate": 3.1}
    budgets = {"build": 180.0, "reference": 40.0, "candidate": 40.0}
    told = answer_of(
        evaluation(evidence=Evidence(started_at=at, seconds=seconds, budgets=budgets)), "detailed"
    ).summary
    assert "building 1.2 s of 180, reference 31.0 s of 40, candidate 3.1 s of 40" in told
    quick = {**seconds, "reference": 1.0}
    record = evaluation(evidence=Evidence(started_at=at, seconds=quick, budgets=budgets))
    answer = answer_of(record, "detailed")
    assert "its own budget" not in answer.summary and answer.evidence.budgets == budgets


def test_what_repeats_a_result_is_told_where_all_is_asked_for() -> None:
    """Seeds, versions and hashes fill half an answer, and the record has them."""
    reason = "no GPU"
    record = evaluation(
        evidence=Evidence(started_at="2026-11-20T22:15:30+00:00", versions={"torch": "2"}),
        integrity=Integrity(checks=["correctness"], not_run={"timed": reason, "twins": "slow"}),
        not_timed_reason=reason,
    )
    concise, whole = answer_of(record), answer_of(record, "detailed")
    assert not concise.evidence.versions and whole.evidence.versions == {"torch": "2"}
    assert concise.content_hash is None and whole.content_hash == record.content_hash
    assert not concise.integrity.not_run and not concise.integrity.checks
    assert set(whole.integrity.not_run) == {"timed", "twins"} and whole.integrity.checks


def test_what_fields_list_is_told_once_and_a_summary_that_stands_alone_tells_it() -> None:
    """An agent reads fields and summary in one piece, a person the summary alone."""
    finding = Finding(claim="no_hidden_host_work", severity=Severity.WARNING, message="It waits.")
    sealed = Measurement(
        timer="cupti", cold_ns=[9_000], clock=TimeSource.CLAIMED, clock_reason="it copies"
    )
    record = evaluation(
        workloads=[timed(1, 9.0).model_copy(update={"measurement": sealed})],
        totals=Totals(passed=1, mean_latency_us=9.0, geometric_mean_ratio=1.5, mean_of_ratios=1.5),
        integrity=Integrity(findings=[finding]),
        static=StaticCheck(
            status="built",
            kernels=[StaticKernel(name="k", target="sm_100", registers=96, threads=128)],
        ),
    )
    concise, whole = answer_of(record), answer_of(record, "detailed")
    written = json.dumps(concise.model_dump(mode="json"))
    for words in ("It waits.", "it copies"):
        assert written.count(words) == 1 and words.rstrip(".") in whole.summary, words
    assert "workload  axes" in whole.summary and "workload  axes" not in concise.summary
    assert "geometric mean, claimed (never promoted)." in concise.summary
    assert concise.totals.mean_of_ratios is None
    assert "k: 96 registers" in concise.summary and not concise.static and whole.static
    assert record.evaluation_id in whole.summary


def test_an_answer_on_four_workloads_takes_few_tokens() -> None:
    """Of four characters each; eight workloads that were timed and compared, 500."""
    untimed = [
        timed(n, 4.0).model_copy(update={"latency_us": None, "comparison": None}) for n in range(4)
    ]
    kernel = StaticKernel(name="_step", target="sm_100", registers=96, instructions={"total": 900})
    built = StaticCheck(status="built", kernels=[kernel, kernel])
    reason = "no GPU: candidates ran on the CPU or in Triton's interpreter"
    told = {"not_timed_reason": reason, "static": built, "totals": Totals(passed=4)}
    for workloads, changes, most in (
        (untimed, told, 400),
        ([timed(n, 4.0 + n) for n in range(8)], {"static": built, "totals": TOTALS}, 500),
    ):
        answer = answer_of(evaluation(workloads=workloads, **changes)).model_dump(mode="json")
        assert len(json.dumps(answer, separators=(",", ":"), ensure_ascii=False)) < 4 * most


def test_what_was_only_compiled_lists_kernels_and_no_workloads() -> None:
    kernels = [
        StaticKernel(name="k", target=target, registers=96, threads=128, stack_bytes=0, notes=["n"])
        for target in ("sm_100", "sm_90", "sm_100")
    ]
    check = StaticCheck(status="built", reason="Not launched: " + "k, " * 400, kernels=kernels)
    result = WorkloadResult(uuid="0" * 36, axes={"n": 1}, status=Status.NOT_RUN)
    record = evaluation(
        scope=Scope.STATIC, status=Status.COMPILED, static=check, workloads=[result]
    )
    concise, whole = answer_of(record), answer_of(record, "detailed")
    assert not concise.workloads and len(whole.workloads) == 1
    assert [part.registers for part in concise.static] == [96, 96, 96]
    assert [part.notes for part in concise.static] == [["n"], ["n"], []]
    assert concise.static[0].threads is None and whole.static[0].threads == 128
    assert "Built for B200 (sm_100) and H100-SXM, H100-PCIe, H200 (sm_90)." in concise.summary
    assert len(concise.static_note or "") < 400 < len(whole.static_note or "")
    assert "Not launched" not in concise.summary and "Not launched" in whole.summary


def test_no_step_asks_for_what_this_machine_cannot_do() -> None:
    """Without a GPU CUDA C++ is compiled and never run, and nothing is timed."""
    failure = Failure(stage=Stage.COMPILE, kind="compile_error", message="m", remedy="Correct it.")
    broken = evaluation(
        language="cuda", scope=Scope.STATIC, status=Status.COMPILE_ERROR, failure=failure
    )
    compiled = evaluation(language="cuda", scope=Scope.STATIC, status=Status.COMPILED)
    for record in (broken, compiled):
        steps = " ".join(answer_of(record).next_steps)
        assert "smoke" not in steps and "sample" not in steps
    assert "scope='static'" in " ".join(answer_of(broken).next_steps)
    small = answer_of(evaluation(scope=Scope.SMOKE)).next_steps
    assert "scope='sample'" in small[0] and "times" not in small[0]


@pytest.mark.parametrize("status", [Status.NOT_JUDGED, Status.INVALID_REFERENCE])
def test_what_says_nothing_of_the_candidate_asks_for_no_change_to_it(status: Status) -> None:
    failure = Failure(stage=Stage.REQUEST, kind="k", message="m", remedy="Install nvcc.")
    steps = answer_of(evaluation(status=status, failure=failure)).next_steps
    assert steps[0] == "Install nvcc."
    assert not any("Fix" in step or "final" in step.lower() for step in steps)


def test_a_finding_that_is_the_failure_is_only_named_and_a_log_that_is_its_excerpt_left_out():
    message = "The call wrote out of bounds: 2 bytes right after output 'y'."
    found = Finding(claim="writes_stay_inside", severity=Severity.VIOLATION, message=message)
    other = Finding(claim="disturbed_machine", severity=Severity.WARNING, message="It is busy.")
    crash = 'Fatal Python error: Segmentation fault\n  File "kernel.py", line 3 in run\n'
    record = evaluation(
        status=Status.RUNTIME_ERROR,
        stage=Stage.CORRECTNESS,
        failure=Failure(
            stage=Stage.CORRECTNESS, kind="k", message=message, remedy="r", excerpt=crash
        ),
        integrity=Integrity(findings=[found, other]),
        log=crash + '  File "of_the_harness.py", line 4',
    )
    concise, whole = answer_of(record), answer_of(record, "detailed")
    written = json.dumps(concise.model_dump(mode="json"))
    assert written.count("right after output") == 1
    assert [f.message for f in concise.integrity.findings] == [None, "It is busy."]
    assert whole.integrity.findings[0].message == message
    assert concise.failure is not None and "line 3 in run" in str(concise.failure.excerpt)
    assert concise.log is None and "of_the_harness" in str(whole.log)
    printed = answer_of(record.model_copy(update={"log": "It begins.\n" + crash}))
    assert "It begins." in str(printed.log)


def test_a_failure_is_told_once() -> None:
    message = "Output 'y': 40 of 128 elements differ (row 3); worst at [0, 3]: expected 1, got 2."
    told = {
        "stage": Stage.CORRECTNESS, "kind": "wrong_values", "message": message, "remedy": "Look.",
        "axes": {"rows": 1}, "output": "y", "index": [0, 3], "expected": 1.0, "got": 2.0,
        "mismatched": 40, "total": 128, "cluster": "row 3",
    }  # fmt: skip
    failed = WorkloadResult(
        uuid="0" * 36,
        axes={"rows": 1},
        status=Status.INCORRECT_NUMERICAL,
        failure=Failure(**told),
    )
    answer = answer_of(
        evaluation(
            status=Status.INCORRECT_NUMERICAL,
            stage=Stage.CORRECTNESS,
            failure=Failure(**told),
            workloads=[failed],
            totals=Totals(failed=1),
        )
    )
    for words in ("40 of 128", "[0, 3]", "row 3", "rows=1", "differ"):
        assert answer.summary.count(words) == 1, words
    assert answer.workloads[0].reason is None
    assert answer.failure is not None and answer.failure.message is None
    assert answer.failure.kind == "wrong_values" and answer.next_steps[0] == "Look."
    bare = answer_of(
        evaluation(
            status=Status.INCORRECT_NUMERICAL,
            stage=Stage.CORRECTNESS,
            failure=Failure(**{**told, "message": "It is wrong"}),
        )
    )
    for words in ("40 of 128 elements differ", "At [0, 3]: expected 1.0, got 2.0", "row 3"):
        assert words in bare.summary


def test_of_several_wrong_outputs_the_first_is_told_whole() -> None:
    first = (
        "Output 'new_state': relative rms error 0.264 (limit 1.52e-05), worst element 1.83 of the "
        "output's rms (limit 0.000149). 130951 of 131072 elements differ (scattered over the whole "
        "output (100 % of it)); worst at [0, 4, 13, 21]: expected 1.40603, got 0.611198."
    )
    record = evaluation(
        status=Status.INCORRECT_NUMERICAL,
        stage=Stage.CORRECTNESS,
        failure=Failure(
            stage=Stage.CORRECTNESS,
            kind="wrong_values",
            message=f"{first} {first.replace('new_state', 'output')}",
            remedy="Look.",
        ),
    )
    assert first in summary(record, [], None, [], most=300)
    assert "…" not in summary(record, [], None, [], most=300)


def test_an_earlier_verdict_is_said_to_be_one() -> None:
    record = evaluation()
    judged = record.evidence.started_at
    assert "force=true" not in answer_of(record).summary
    later = evaluation_answer(Evaluated(record, earlier=True)).summary
    assert f"judged before, at {judged}" in later and "force=true" in later


FLOORS = {"nominal": 2.0, "calibrated": 2.5, "latency": 6.0}


def on_floors(**changes: Any) -> WorkloadResult:
    values = {
        "uuid": "w",
        "axes": {"n": 1},
        "status": Status.PASSED,
        "latency_us": 5.0,
        "baseline_latency_us": 8.0,
        "device_floors_us": FLOORS,
    }
    return WorkloadResult(**(values | changes))


def test_every_floor_has_its_share_and_the_estimate_may_be_beaten() -> None:
    assert sol_percents(on_floors()) == {"nominal": 40.0, "calibrated": 50.0, "latency": 120.0}


def test_without_a_latency_or_a_known_device_nothing_is_claimed() -> None:
    assert sol_percents(on_floors(latency_us=None)) == {}
    assert sol_percents(on_floors(device_floors_us={})) == {}
    assert sol_exec_bench(on_floors(latency_us=None)) is None
    assert sol_exec_bench(on_floors(device_floors_us={})) is None


def test_the_guarded_score_is_a_half_at_the_baseline_and_absent_below_the_floor() -> None:
    assert sol_exec_bench(on_floors(latency_us=8.0)) == 0.5
    assert sol_exec_bench(on_floors()) == 0.6667
    assert sol_exec_bench(on_floors(latency_us=1.9)) is None
    assert sol_exec_bench(on_floors(baseline_latency_us=2.0)) is None


def clocked(*clocks: str | None, detail: Any = "detailed") -> EvaluationAnswer:
    """The answer on workloads that are sealed, or claimed for a reason."""
    workloads = [
        timed(number, 10.0).model_copy(
            update={
                "called_us": None if reason else 40.0,
                "measurement": Measurement(
                    timer="cupti",
                    cold_ns=[10_000],
                    clock=TimeSource.CLAIMED if reason else TimeSource.SEALED,
                    clock_reason=reason,
                ),
            }
        )
        for number, reason in enumerate(clocks)
    ]
    totals = Totals(passed=len(clocks), mean_latency_us=10.0)
    return answer_of(evaluation(workloads=workloads, totals=totals), detail)


def test_a_sealed_latency_says_so_beside_what_the_call_costs_in_its_process():
    answer = clocked(None, None)
    assert (answer.totals.clock, answer.totals.clock_reason) == ("sealed", None)
    assert [(w.clock, w.called_us) for w in answer.workloads] == [("sealed", 40.0)] * 2
    assert "Mean latency 10 µs sealed" in answer.summary and "claimed" not in answer.summary
    assert answer.summary.count("40") >= 2


def test_a_claimed_latency_is_marked_and_its_reason_is_told_once():
    answer = clocked(None, "it waits on the host", "it waits on the host")
    assert answer.totals.clock == "claimed"
    assert answer.totals.clock_reason == "it waits on the host"
    assert [w.clock for w in answer.workloads] == ["sealed", "claimed", "claimed"]
    assert "Mean latency 10 µs claimed" in answer.summary
    assert answer.summary.count("it waits on the host") == 1
    assert "never promote" in answer.summary


def test_a_short_row_tells_its_clock_only_where_clocks_differ():
    mixed = clocked(None, "it waits on the host", detail="concise")
    assert [w.clock for w in mixed.workloads] == [None, "claimed"]
    alike = clocked("it waits on the host", "it waits on the host", detail="concise")
    assert [w.clock for w in alike.workloads] == [None, None] and alike.totals.clock == "claimed"
    assert "claimed (never promoted)" in alike.summary


def test_a_short_row_tells_of_a_call_that_takes_much_longer_than_its_kernels():
    slow, quick = (
        answer_of(evaluation(workloads=[timed(0, 10.0).model_copy(update={"called_us": us})]))
        for us in (40.0, 10.5)
    )
    assert (slow.workloads[0].called_us, quick.workloads[0].called_us) == (40.0, None)


def test_a_short_row_tells_a_decision_that_its_speedup_does_not():
    decisions = [Decision.FASTER, Decision.EQUAL, Decision.INCONCLUSIVE]
    rows = [timed(n, 10.0, decision) for n, decision in enumerate(decisions)]
    short = answer_of(evaluation(workloads=rows)).workloads
    assert [row.decision for row in short] == [None, "EQUAL", "INCONCLUSIVE"]


def test_few_rows_show_the_longest_of_each_regime_before_others():
    rows = [timed(n, 50.0 + n).model_copy(update={"regime": "long"}) for n in range(20)]
    rows += [timed(n, 1.0 + n).model_copy(update={"regime": "short"}) for n in range(20, 25)]
    shown = answer_of(evaluation(workloads=rows)).workloads
    assert rows[24].uuid[:8] in [row.uuid for row in shown] and len(shown) < 8


def test_alike_findings_are_one_with_their_number():
    found = [
        Finding(claim="no_hidden_host_work", severity=Severity.WARNING, message=f"{n} µs")
        for n in range(3)
    ]
    record = evaluation(integrity=Integrity(findings=found))
    (one,) = answer_of(record).integrity.findings
    assert one.message == "0 µs (2 more like it.)"
    assert len(answer_of(record, "detailed").integrity.findings) == 3


def test_every_result_states_its_objective_and_an_untimed_one_no_clock():
    answer = answer_of(evaluation(), "detailed")
    assert answer.totals.objective == "cold" and answer.totals.clock is None


def test_the_other_times_of_a_call_stand_beside_its_latency_where_they_were_taken():
    beside = {"clean_us": 8.5, "sustained_us": 7.25, "baseline_sustained_us": 9.5}
    sealed = Measurement(timer="cupti", cold_ns=[10_000], clock=TimeSource.SEALED)
    changes = {**beside, "warm_latency_us": 6.5, "measurement": sealed}
    workload = timed(0, 10.0).model_copy(update=changes)
    found = evaluation(workloads=[workload], totals=Totals(passed=1, mean_latency_us=10.0))
    answer = answer_of(found, "detailed")
    (row,) = answer.workloads
    assert (row.clean_us, row.sustained_us, row.baseline_sustained_us) == (8.5, 7.25, 9.5)
    assert (row.warm_us, row.cold_us) == (6.5, None)
    for words in ("clean µs", "sustained µs", "warm µs", "7.25", "6.5", "with a cold L2"):
        assert words in answer.summary
    assert "called µs" not in answer.summary, "nothing was taken of it"
    (lean,) = answer_of(found).workloads
    assert (lean.clean_us, lean.sustained_us) == (None, None)
    assert (lean.baseline_sustained_us, lean.warm_us, lean.regime) == (None, None, None)


def test_an_objective_other_than_cold_is_said_beside_the_latency():
    evidence = evaluation().evidence.model_copy(update={"checks": {"objective": "sustained"}})
    totals = Totals(passed=1, mean_latency_us=10.0, objective="sustained")
    workload = timed(0, 10.0).model_copy(update={"cold_us": 11.5})
    record = evaluation(workloads=[workload], totals=totals, evidence=evidence)
    answer = answer_of(record, "detailed")
    assert answer.totals.objective == "sustained" and answer.workloads[0].cold_us == 11.5
    assert "back to back over more data than the L2 holds" in answer.summary
    lean = answer_of(record)
    assert lean.totals.objective == "sustained" and "sustained" in lean.summary


def test_times_on_inputs_that_do_not_rank_say_so_and_lead_to_those_that_do():
    evidence = evaluation().evidence.model_copy(update={"checks": {"input_family": "even"}})
    totals = Totals(passed=1, mean_latency_us=10.0)
    answer = answer_of(evaluation(workloads=[timed(0, 10.0)], totals=totals, evidence=evidence))
    assert answer.totals.input_family == "even"
    assert ", on inputs even" in answer.summary
    assert "rank nowhere" in answer.next_steps[0] and "evaluate_kernel" in answer.next_steps[0]
    usual = answer_of(evaluation(workloads=[timed(0, 10.0)], totals=totals))
    assert usual.totals.input_family is None and "on inputs" not in usual.summary


def test_the_speed_on_held_out_sizes_says_whether_it_is_sealed():
    for sealed, words in ((True, "1.25x (sealed)"), (False, "1.25x (claimed)")):
        told = HeldOutResult(called=9, uniform=4, timed=3, ratio=1.25, sealed=sealed)
        assert words in answer_of(evaluation(held_out=told)).summary


def test_a_ladder_is_a_table_of_how_many_times_faster_each_is():
    rungs = (
        RungTime("PyTorch eager", 12.345678, 240.5, 3, "sealed", evaluation_id="ev-1"),
        RungTime("torch.compile", 2.5, 40.5, 1, "sealed", "1 of 3 workloads: no more fitted"),
        RungTime("peer fla", reason="COMPILE_ERROR: fla is not installed"),
    )
    whole = evaluation_answer(Evaluated(evaluation(), ladder=rungs), "detailed")
    assert "PyTorch eager  12.3x   240      sealed, 3 workloads" in whole.summary
    assert "fla is not installed" in whole.summary
    assert "sealed, 1 of 3 workloads: no more fitted" in whole.summary
    answer = evaluation_answer(Evaluated(evaluation(), ladder=rungs))
    assert "Ladder" not in answer.summary, "the rungs are told once"
    assert [rung.times for rung in answer.ladder] == [12.345678, 2.5, None]
    assert answer.ladder[2].workloads is None


def test_a_ladder_that_was_not_climbed_is_one_line():
    rungs = (RungTime("PyTorch eager", reason="no GPU"), RungTime("peer fla", reason="no GPU"))
    answer = evaluation_answer(Evaluated(evaluation(), ladder=rungs))
    assert "Ladder: PyTorch eager, peer fla: no GPU." in answer.summary and not answer.ladder


def test_a_run_says_what_the_build_for_the_first_target_takes():
    kernels = [
        StaticKernel(name="k", target="sm_100", registers=96, spill_bytes=16, shared_bytes=1024),
        StaticKernel(name="small", target="sm_100", registers=20),
        StaticKernel(name="k", target="sm_90", registers=255),
    ]
    words = "Built for B200 (sm_100): k, of 2 kernels the one with the most registers: 96 registers"
    built = StaticCheck(status="built", kernels=kernels)
    assert words in answer_of(evaluation(static=built)).summary
    failed = StaticCheck(status="failed", failures={"sm_100": "kernel.py:7: no wgmma\n  x"})
    summary = answer_of(evaluation(static=failed)).summary
    assert "It does not build for sm_100: kernel.py:7: no wgmma" in summary
    unknown = StaticCheck(status="unavailable", reason="not finished")
    assert "uil" not in answer_of(evaluation(static=unknown)).summary


def test_the_floor_of_the_first_target_stands_beside_each_latency_and_once_where_short():
    result = timed(1, 8.0).model_copy(
        update={"floors_us": {"device": 3.0, "B200": 1.25, "H200": 2}}
    )
    answer = answer_of(evaluation(workloads=[result]), "detailed")
    assert answer.workloads[0].floors_us["device"] == 3.0
    other = result.model_copy(update={"floors_us": {"device": 3.0, "B200": 2.25, "H200": 4}})
    lean = answer_of(evaluation(workloads=[result, other]))
    assert lean.totals.floors_us == {"B200": 1.75, "H200": 3} and not lean.workloads[0].floors_us
    untimed = result.model_copy(update={"latency_us": None, "comparison": None})
    lean = answer_of(evaluation(workloads=[untimed]))
    assert lean.workloads[0].floors_us == {"B200": 1.25, "H200": 2} and not lean.totals.floors_us
    summary = answer.summary
    assert "B200 floor µs" in summary and "1.25" in summary and "H200 floor" not in summary


def test_a_kernel_that_is_empty_on_a_target_is_named():
    kernels = [
        StaticKernel(name="ends<2>", target="sm_100", registers=4, instructions={"total": 16}),
        StaticKernel(name="chain", target="sm_100", registers=220, instructions={"total": 1312}),
        StaticKernel(name="ends<2>", target="sm_90", registers=168, instructions={"total": 900}),
    ]
    built = StaticCheck(status="built", kernels=kernels)
    words = "EMPTY (it writes nothing, or is left out by the preprocessor): ends (sm_100)."
    assert words in answer_of(evaluation(static=built)).summary
    static = evaluation(static=built, scope=Scope.STATIC, status=Status.COMPILED)
    assert words in answer_of(static).summary
    whole = StaticCheck(status="built", kernels=kernels[1:])
    assert "EMPTY" not in answer_of(evaluation(static=whole)).summary


def test_no_error_is_told_of_values_that_are_not_finite():
    """Beside a NaN it would read as an error of nothing."""
    failed = WorkloadResult(
        uuid="0" * 36,
        axes={"rows": 1},
        status=Status.INCORRECT_NUMERICAL,
        errors=[OutputError(output="y", max_absolute=0.0), OutputError(output="z", max_absolute=2)],
    )
    failure = Failure(stage=Stage.CORRECTNESS, kind="wrong_nonfinite", message="m", remedy="r")
    record = evaluation(
        status=Status.INCORRECT_NUMERICAL,
        stage=Stage.CORRECTNESS,
        failure=failure,
        workloads=[failed],
    )
    assert [error.output for error in answer_of(record).workloads[0].errors] == ["z"]
    assert len(answer_of(record, "detailed").workloads[0].errors) == 2


def test_targets_that_fail_alike_are_named_together():
    failures = {"sm_100": "kernel.py:7: no such name", "sm_90": "kernel.py:7: no such name"}
    record = evaluation(
        scope=Scope.STATIC,
        status=Status.COMPILE_ERROR,
        static=StaticCheck(status="failed", failures=failures),
        failure=Failure(stage=Stage.COMPILE, kind="compile_error", message="m", remedy="r"),
    )
    note = answer_of(record).static_note or ""
    assert "Did not compile for sm_100 and sm_90: kernel.py:7" in note
    assert note.count("no such name") == 1


def test_what_a_machine_lacks_to_compile_is_told_once() -> None:
    lacks = "tvm_ffi cannot be imported; pip install apache-tvm-ffi"
    check = StaticCheck(status="unavailable", reason=lacks)
    compiled = evaluation(scope=Scope.STATIC, status=Status.COMPILED, static=check)
    failure = Failure(stage=Stage.COMPILE, kind="toolchain", message=f"No: {lacks}", remedy="r")
    refused = compiled.model_copy(update={"status": Status.NOT_JUDGED, "failure": failure})
    for record in (compiled, refused):
        assert json.dumps(answer_of(record).model_dump(mode="json")).count(lacks) == 1
        assert lacks in answer_of(record, "detailed").summary
