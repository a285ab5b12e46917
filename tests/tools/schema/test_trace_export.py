"""Evaluations as FlashInfer-Trace lines: what each status becomes, and what is never said."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from kernel_harness.tools.schema.evaluation import (
    UNDECIDED,
    UNFAILED,
    Evaluation,
    Evidence,
    Failure,
    OutputError,
    Stage,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.flashinfer_trace import Definition, EvaluationStatus, Workload
from kernel_harness.tools.schema.trace_export import to_traces
from tests.records import make_record

DEFINITION = Definition.model_validate(
    {
        "name": "copy",
        "op_type": "demo",
        "axes": {"m": {}},
        "inputs": {"x": {"shape": ["m"], "dtype": "float32"}},
        "outputs": {"y": {"shape": ["m"], "dtype": "float32"}},
        "reference": "def run(x): return x",
    }
)
WORKLOADS = [Workload(uuid=f"w-{m}", axes={"m": m}, inputs={}) for m in (1, 2)]


def failure(words: str = "it is wrong") -> Failure:
    return Failure(stage=Stage.CORRECTNESS, kind="wrong_values", message=words, remedy="Fix it.")


def result(position: int, status: Status, **fields: Any) -> WorkloadResult:
    workload = WORKLOADS[position]
    return WorkloadResult(uuid=workload.uuid, axes=dict(workload.axes), status=status, **fields)


def evaluation(status: Status, *results: WorkloadResult, **fields: Any) -> Evaluation:
    return make_record(
        status,
        evaluation_id="e1",
        definition="copy",
        failure=None if status in UNFAILED else failure("as a whole"),
        workloads=list(results),
        evidence=Evidence(started_at="2026-11-20T20:00:00", timer="cupti"),
        **fields,
    )


def statuses(record: Evaluation) -> list[str]:
    return [t.evaluation.status for t in to_traces(record, DEFINITION, WORKLOADS) if t.evaluation]


def test_a_timed_pass_carries_its_latency_and_our_facts_in_extra() -> None:
    errors = [
        OutputError(output="y", max_absolute=0.25, max_relative=0.5, matched_ratio=0.99),
        OutputError(output="z", max_absolute=0.125, max_relative=0.75, matched_ratio=1.0),
    ]
    timed = result(
        0,
        Status.PASSED,
        latency_us=4.2,
        baseline_latency_us=8.4,
        errors=errors,
        latency_interval_us=(4.0, 4.4),
    )
    (trace,) = to_traces(evaluation(Status.PASSED, timed, baseline="base"), DEFINITION, WORKLOADS)
    seen = trace.evaluation
    assert seen and seen.performance and seen.correctness and seen.correctness.extra
    assert trace.workload == WORKLOADS[0]
    assert seen.performance.latency_ms == pytest.approx(0.0042)
    assert (seen.performance.reference_latency_ms, seen.performance.speedup_factor) == (0.0, 0.0)
    assert seen.correctness.max_absolute_error == 0.25
    assert seen.correctness.max_relative_error == 0.75
    assert seen.correctness.extra["matched_ratio"] == 0.99
    assert seen.correctness.extra["baseline"] == "base"
    assert seen.log == ""


def test_an_untimed_pass_has_no_line() -> None:
    """Reports of flashinfer-bench end with an error at a PASSED line without a latency."""
    timed = result(1, Status.PASSED, latency_us=2.0)
    record = evaluation(Status.PASSED, result(0, Status.PASSED), timed)
    (trace,) = to_traces(record, DEFINITION, WORKLOADS)
    assert trace.workload == WORKLOADS[1]


@pytest.mark.parametrize("status", [Status.COMPILE_ERROR, Status.TIMEOUT])
def test_what_ended_before_any_workload_ran_has_a_line_for_each(status: Status) -> None:
    not_run = [result(number, Status.NOT_RUN) for number in range(len(WORKLOADS))]
    assert statuses(evaluation(status, *not_run)) == [status] * len(WORKLOADS)


def test_an_error_that_was_not_measured_is_not_called_zero() -> None:
    errors = [OutputError(output="y", max_absolute=0.02)]
    record = evaluation(Status.PASSED, result(0, Status.PASSED, latency_us=1.0, errors=errors))
    (trace,) = to_traces(record, DEFINITION, WORKLOADS)
    assert trace.evaluation and trace.evaluation.correctness
    assert trace.evaluation.correctness.max_absolute_error == 0.02
    assert math.isnan(trace.evaluation.correctness.max_relative_error)


def test_a_workload_keeps_its_own_verdict() -> None:
    wrong = result(1, Status.INCORRECT_NUMERICAL, failure=failure("off by one"))
    record = evaluation(Status.INCORRECT_NUMERICAL, result(0, Status.PASSED, latency_us=1.0), wrong)
    passed, failed = to_traces(record, DEFINITION, WORKLOADS)
    assert passed.evaluation and passed.evaluation.status is EvaluationStatus.PASSED
    assert failed.evaluation and failed.evaluation.status is EvaluationStatus.INCORRECT_NUMERICAL
    assert failed.evaluation.performance is None
    assert "off by one" in failed.evaluation.log
    assert failed.evaluation.correctness
    assert math.isnan(failed.evaluation.correctness.max_absolute_error)


@pytest.mark.parametrize("status", [Status.INTEGRITY_VIOLATION, Status.INVALID_CANDIDATE])
def test_a_cheat_has_no_passed_line(status: Status) -> None:
    record = evaluation(status, result(0, Status.PASSED, latency_us=1.0), result(1, Status.PASSED))
    lines = to_traces(record, DEFINITION, WORKLOADS)
    assert statuses(record) == ["RUNTIME_ERROR", "RUNTIME_ERROR"]
    assert all(line.evaluation and line.evaluation.log.startswith(status) for line in lines)


def test_a_failure_on_a_held_out_case_condemns_every_line() -> None:
    record = evaluation(
        Status.INCORRECT_NUMERICAL, result(0, Status.PASSED), result(1, Status.PASSED)
    )
    assert statuses(record) == ["INCORRECT_NUMERICAL", "INCORRECT_NUMERICAL"]


@pytest.mark.parametrize("status", sorted(UNDECIDED - {Status.NOT_RUN}))
def test_what_decides_nothing_leaves_no_line(status: Status) -> None:
    assert statuses(evaluation(status, result(0, Status.PASSED))) == []


def test_a_workload_that_was_not_run_has_no_line() -> None:
    timed = result(0, Status.PASSED, latency_us=1.0)
    record = evaluation(Status.PASSED, timed, result(1, Status.NOT_RUN, reason="budget"))
    assert statuses(record) == ["PASSED"]


def test_a_failed_build_is_said_of_every_workload() -> None:
    assert statuses(evaluation(Status.COMPILE_ERROR)) == ["COMPILE_ERROR", "COMPILE_ERROR"]


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.NOT_RUN])
def test_the_reference_package_reads_the_lines_of_every_status(status: Status) -> None:
    package = pytest.importorskip(
        "flashinfer_bench.data", reason="the package flashinfer_bench is not installed"
    )
    per_workload = status if status is not Status.RUNNING else Status.NOT_RUN
    record = evaluation(status, result(0, per_workload), result(1, Status.PASSED))
    for trace in to_traces(record, DEFINITION, WORKLOADS):
        text = trace.model_dump_json()
        theirs = package.Trace.model_validate_json(text)
        assert json.loads(theirs.model_dump_json()) == json.loads(text)


def test_what_was_only_compiled_leaves_no_line() -> None:
    assert statuses(evaluation(Status.COMPILED, result(0, Status.NOT_RUN))) == []
    assert statuses(evaluation(Status.COMPILED)) == []
