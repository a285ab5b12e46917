"""What a record says of a trial: its status, its workloads, and what was not run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

import pytest

from kernel_harness.tools.judge.checks import integrity
from kernel_harness.tools.judge.checks.call_verdict import CaseRecord
from kernel_harness.tools.judge.evaluation_record import (
    LOG_CHARACTERS,
    TrialResult,
    not_run_words,
    write_record,
)
from kernel_harness.tools.judge.operators.held_out_cases import HELD_OUT
from kernel_harness.tools.judge.operators.input_sets import SeedBook
from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.judge.timing.timed_calls import Timed
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Executor,
    Failure,
    Finding,
    Severity,
    Stage,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import Measurement

from ...judging import make_plan, make_solution
from .scripted import ScriptedSession, affine, honest


def result(status: Status, **fields) -> WorkloadResult:
    return WorkloadResult(uuid="w", axes={}, status=status, **fields)


MEASURED = Measurement(timer="cupti", cold_ns=[5])
TIMED = result(Status.PASSED, measurement=MEASURED)
UNTIMED = result(Status.PASSED, reason="the budget was used up")
LEFT = result(Status.NOT_RUN, reason="no time")


@pytest.mark.parametrize(
    ("results", "left_out", "held_out", "timed", "words"),
    [
        ([TIMED, TIMED], [], "", True, ""),
        ([UNTIMED, UNTIMED], [], "", False, ""),
        ([TIMED, LEFT], [], "", True, "1 of 2 workloads were not run: no time"),
        ([TIMED], ["a", "b"], "", True, "2 workloads of the scope were not asked for"),
        ([TIMED, TIMED], ["a"], "", True, "1 workload of the scope was not asked for"),
        ([TIMED], [], "1 held-out case is left", True, "1 held-out case is left"),
        ([TIMED, UNTIMED], [], "", True, "1 of 2 were not timed: the budget was used up"),
    ],
)
def test_only_what_ran_to_its_end_needs_no_words(results, left_out, held_out, timed, words):
    assert not_run_words(results, left_out, held_out, results if timed else []) == words


CASES = [Case(f"affine-{m}", {"m": m}, scalars={"alpha": 0.5}) for m in (0, 3, 17, 64)]
WRONG = Failure(stage=Stage.CORRECTNESS, kind="wrong_values", message="y differs", remedy="Look.")
CRASH = Failure(stage=Stage.TIMING, kind="crash", message="It died.", remedy="Look.")


@dataclass
class Repeated:
    """What a record takes from repeated calls."""

    launched_nothing: bool = False
    determinism: None = None


@dataclass
class Checks:
    """What a record takes from the checks of a trial."""

    records: dict[str, CaseRecord]
    findings: list[Finding] = field(default_factory=list)
    done: list[str] = field(default_factory=lambda: ["inputs_unchanged"])
    not_run: dict[str, str] = field(default_factory=dict)
    repeated: Repeated = field(default_factory=Repeated)
    held_out: None = None


@dataclass
class Timing:
    """What a record takes from the timing of a trial."""

    timer: str = "cupti"
    timer_note: str | None = None
    clocks: list[Any] = field(default_factory=list)
    fresh_values: str = "drawn anew"
    findings: list[Finding] = field(default_factory=list)
    done: list[str] = field(default_factory=lambda: ["timed_calls_verified"])


@dataclass
class Context:
    """What a record takes from the judge's context."""

    info: DeviceInfo = DeviceInfo(name="a device", executor=Executor.CUDA)
    versions: dict[str, str] = field(default_factory=lambda: {"torch": "2"})
    memory_mhz: int | None = None
    interpreted: bool = False


def checked(**changed: CaseRecord) -> Checks:
    """Every case right after three calls, but for those that are given by their size."""
    records = {c.uuid: CaseRecord(c, Status.PASSED, calls=3) for c in CASES}
    return Checks(records | {f"affine-{size[1:]}": record for size, record in changed.items()})


def timed(**changed: Timed) -> dict[str, Timed]:
    """Every case timed in five calls, but for those that are given by their size."""
    whole = Timed(calls=5, measurement=MEASURED)
    return {c.uuid: whole for c in CASES} | {f"affine-{k[1:]}": v for k, v in changed.items()}


def trial(**changes: Any) -> TrialResult:
    solution = make_solution("def run(): pass\n", definition="affine_n64")
    plan = changes.pop("plan", {})
    options: dict[str, Any] = {
        "plan": make_plan(solution, **plan),
        "context": Context(),
        "operator": affine(),
        "solution": solution,
        "cases": CASES,
        "unusable": {},
        "constant_outputs": [],
        "failed": None,
        "checking": checked(),
        "deployment": None,
        "timing": Timing(),
        "timed": timed(),
        "static": None,
        "book": SeedBook(),
        "session": ScriptedSession(honest),
        "started_at": "2026-01-01T00:00:00+00:00",
        "seconds": {"total": 1.0},
        "log": "",
        "not_timed": None,
    }
    return TrialResult(**{**options, **changes})


def test_a_trial_in_which_all_was_right_and_timed_has_passed():
    record = write_record(trial())
    assert (record.status, record.stage, record.failure) == (Status.PASSED, Stage.DONE, None)
    assert record.partial_reason is None and len(record.workloads) == len(CASES)
    assert {r.calls_checked for r in record.workloads} == {8}
    assert all(r.measurement is not None for r in record.workloads)
    assert record.evidence.timer == "cupti" and record.evidence.fresh_values == "drawn anew"
    assert record.integrity.checks == ["inputs_unchanged", "timed_calls_verified"]


def test_a_trial_that_left_something_out_is_partial_and_says_what():
    record = write_record(trial(plan={"left_out": ["w"]}))
    assert record.status is Status.PARTIAL and record.failure is None
    assert record.partial_reason is not None and "not asked for" in record.partial_reason
    hidden = checked()
    hidden.not_run[HELD_OUT] = "no time for held-out cases"
    assert write_record(trial(checking=hidden)).partial_reason == "no time for held-out cases"


def test_a_workload_without_elements_need_not_be_timed_and_any_other_must():
    empty, *others = CASES
    nothing = {empty.uuid: Timed(reason="no device activity in the call")}
    assert write_record(trial(timed=timed() | nothing)).status is Status.PASSED
    late = {others[0].uuid: Timed(reason="no device activity in the call")}
    record = write_record(trial(timed=timed() | late))
    assert record.status is Status.PARTIAL
    assert record.partial_reason == "1 of 3 were not timed: no device activity in the call"


def test_a_failed_trial_has_its_failure_and_is_never_partial():
    wrong = checked(_3=CaseRecord(CASES[1], Status.INCORRECT_NUMERICAL, WRONG, calls=1))
    del wrong.records["affine-64"]
    failed = (Status.INCORRECT_NUMERICAL, WRONG)
    record = write_record(trial(failed=failed, checking=wrong, timing=None, timed={}))
    assert (record.status, record.stage) == (Status.INCORRECT_NUMERICAL, Stage.CORRECTNESS)
    assert record.failure == WRONG and record.partial_reason is None
    by_uuid = {r.uuid: r for r in record.workloads}
    assert by_uuid["affine-3"].failure == WRONG and by_uuid["affine-3"].calls_checked == 1
    assert by_uuid["affine-64"].status is Status.NOT_RUN
    assert by_uuid["affine-64"].reason == "the trial ended before it (wrong_values)"


def test_a_workload_that_failed_while_it_was_timed_has_no_latency():
    failed = Timed(Status.RUNTIME_ERROR, CRASH, calls=2, measurement=MEASURED)
    results = timed(_17=failed)
    record = write_record(trial(failed=(Status.RUNTIME_ERROR, CRASH), timed=results))
    found = next(r for r in record.workloads if r.uuid == "affine-17")
    assert (found.status, found.failure, found.calls_checked) == (Status.RUNTIME_ERROR, CRASH, 5)
    assert found.measurement is None and found.baseline_measurement is None


def test_a_workload_without_a_time_says_why():
    reasons = timed(_17=Timed(reason="no timer: none here"))
    record = write_record(trial(timed=reasons))
    found = next(r for r in record.workloads if r.uuid == "affine-17")
    assert found.status is Status.PASSED and found.reason == "no timer: none here"
    untimed = write_record(trial(timing=None, timed={}, not_timed="there is no GPU"))
    assert {r.reason for r in untimed.workloads} == {"there is no GPU"}
    assert untimed.status is Status.PASSED and untimed.not_timed_reason == "there is no GPU"
    assert untimed.integrity.not_run["timed_calls_verified"] == "there is no GPU"


def test_a_trial_that_ended_before_its_checks_has_run_nothing():
    failure = Failure(stage=Stage.COMPILE, kind="compile_error", message="no", remedy="Look.")
    failed = (Status.COMPILE_ERROR, failure)
    record = write_record(trial(failed=failed, checking=None, timing=None, timed={}, session=None))
    assert {r.status for r in record.workloads} == {Status.NOT_RUN}
    assert record.stage is Stage.COMPILE and record.evidence.isolation is None


@pytest.mark.parametrize(
    ("status", "spoken"), [(Status.INTEGRITY_VIOLATION, True), (Status.RUNTIME_ERROR, False)]
)
def test_only_a_violation_adds_the_finding_of_words_out_of_turn(status, spoken):
    failed = (status, CRASH.model_copy(update={"kind": "protocol"}))
    record = write_record(trial(failed=failed, checking=None, timing=None, timed={}))
    assert (integrity.TURN in {f.claim for f in record.integrity.findings}) is spoken


def test_a_workload_whose_data_is_at_fault_says_so_and_was_not_run():
    without = checked()
    del without.records["affine-64"]
    record = write_record(trial(checking=without, unusable={"affine-64": "no such file"}))
    found = next(r for r in record.workloads if r.uuid == "affine-64")
    assert (found.status, found.reason) == (
        Status.NOT_RUN,
        "the dataset is at fault: no such file",
    )
    assert record.status is Status.PARTIAL


def test_outputs_that_do_not_depend_on_the_inputs_are_told():
    findings = write_record(trial(constant_outputs=["row"])).integrity.findings
    assert len(findings) == 1 and "row" in findings[0].message


def test_findings_of_checks_and_timing_come_together():
    checking, timing = checked(), Timing()
    checking.findings.append(Finding(claim="a", severity=Severity.NOTE, message="checked"))
    timing.findings.append(Finding(claim="b", severity=Severity.NOTE, message="timed"))
    record = write_record(trial(checking=checking, timing=timing))
    assert [f.message for f in record.integrity.findings] == ["checked", "timed"]
    assert [f.message for f in checking.findings] == ["checked"], "the trial's own are left alone"


def test_a_sanitizer_that_was_asked_for_is_said_to_run_elsewhere():
    plan = make_plan(make_solution("def run(): pass\n", definition="affine_n64"))
    checks = plan.checks.model_copy(update={"sanitizer": True})
    record = write_record(trial(plan={"checks": checks}))
    assert "sanitizer" in record.integrity.not_run


def test_a_long_log_is_cut():
    record = write_record(trial(log="x" * (3 * LOG_CHARACTERS)))
    assert 0 < len(record.log) <= LOG_CHARACTERS + 100


def test_a_workload_for_correctness_alone_has_no_time_and_makes_nothing_partial():
    operator = affine()
    operator.policy = operator.policy.model_copy(update={"untimed": ["affine-17"]})
    without = {uuid: found for uuid, found in timed().items() if uuid != "affine-17"}
    record = write_record(trial(operator=operator, timed=without))
    assert record.status is Status.PASSED
    (alone,) = [r for r in record.workloads if r.measurement is None]
    assert (alone.uuid, alone.status) == ("affine-17", Status.PASSED)
    assert alone.reason is not None and "correctness alone" in alone.reason


def test_the_versions_of_what_candidate_and_baseline_need_are_recorded():
    plan = trial().plan
    needing = [
        {**plan.solution, "spec": {**plan.solution["spec"], "dependencies": [name]}}
        for name in ("numpy>=1", "pydantic")
    ]
    both = plan.model_copy(update={"solution": needing[0], "baseline": needing[1]})
    versions = write_record(replace(trial(), plan=both)).evidence.versions
    assert versions["numpy"] == metadata.version("numpy")
    assert versions["pydantic"] == metadata.version("pydantic") and versions["torch"] == "2"
