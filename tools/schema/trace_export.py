"""Our Evaluation as FlashInfer-Trace lines, one per workload that was run.

Our own statuses do not exist there. A violation of integrity or an invalid candidate becomes
RUNTIME_ERROR with the words in `log`. What decides nothing of the candidate leaves no line at all:
a fault of the harness, of this machine or of the definition, a trial that is partial or unfinished,
a candidate that was only compiled, a workload that was not run, a pass that was not timed:
readers of the format take a PASSED line without a latency for broken data.

A line holds less than the record: the schema sanctions added facts in `Correctness.extra` alone.
`reference_latency_ms` and `speedup_factor` are 0.0, the format's "not measured": one record does
not know them, they speak of the definition's PyTorch code, which is not what we compare with; our
baseline is in `extra`. A dataset of many records fills them (`archive/export`). An error that was
not measured is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .evaluation import UNDECIDED, Evaluation, Failure, OutputError, Status, WorkloadResult
from .flashinfer_trace import (
    Correctness,
    Definition,
    Environment,
    EvaluationStatus,
    Performance,
    Trace,
    TraceEvaluation,
    Workload,
)

_CONDEMNS_ALL = frozenset({Status.INTEGRITY_VIOLATION, Status.INVALID_CANDIDATE})


def to_traces(
    evaluation: Evaluation, definition: Definition, workloads: Sequence[Workload]
) -> list[Trace]:
    """Maps a finished evaluation to FlashInfer-Trace lines.

    A workload that did not run gets a line only when the whole trial ended before any workload
    did, as a failed build does.
    """
    if evaluation.status in UNDECIDED:
        return []
    results = {result.uuid: result for result in evaluation.workloads}
    traces: list[Trace] = []
    for workload in workloads:
        result = results.get(workload.uuid)
        verdict = _verdict(evaluation, result)
        if verdict is None:
            continue
        traces.append(
            Trace(
                definition=definition.name,
                workload=workload,
                solution=evaluation.solution_name,
                evaluation=_evaluation(evaluation, result, verdict),
            )
        )
    return traces


def _verdict(evaluation: Evaluation, result: WorkloadResult | None) -> Status | None:
    """The status of one line, or None for no line."""
    if result is None or result.status is Status.NOT_RUN:
        none_ran = all(other.status is Status.NOT_RUN for other in evaluation.workloads)
        return evaluation.status if none_ran and evaluation.status is not Status.PASSED else None
    if result.status in UNDECIDED:
        return None
    if evaluation.status in _CONDEMNS_ALL:
        return evaluation.status
    # A failure that no workload shows, as on a held-out case, is the solution's on all of them.
    shown = any(other.status is evaluation.status for other in evaluation.workloads)
    if result.status is Status.PASSED and not shown:
        return evaluation.status
    return None if result.status is Status.PASSED and result.latency_us is None else result.status


def _evaluation(
    evaluation: Evaluation, result: WorkloadResult | None, verdict: Status
) -> TraceEvaluation:
    evidence = evaluation.evidence
    status = EvaluationStatus(verdict) if verdict not in _CONDEMNS_ALL else None
    status = status or EvaluationStatus.RUNTIME_ERROR
    passed = status is EvaluationStatus.PASSED
    compared = passed or status is EvaluationStatus.INCORRECT_NUMERICAL
    latency_us = result.latency_us if result else None
    return TraceEvaluation(
        status=status,
        environment=Environment(
            hardware=(evidence.device.name if evidence.device else "") or "unknown",
            libs=dict(evidence.versions),
        ),
        timestamp=evidence.started_at or "unknown",
        log=_log(evaluation, result, verdict),
        correctness=_correctness(evaluation, result) if compared else None,
        performance=Performance(latency_ms=latency_us / 1000.0) if passed and latency_us else None,
    )


def _correctness(evaluation: Evaluation, result: WorkloadResult | None) -> Correctness:
    errors = result.errors if result else []
    return Correctness(
        max_absolute_error=_largest([error.max_absolute for error in errors]),
        max_relative_error=_largest([error.max_relative for error in errors]),
        extra=_extra(evaluation, result, errors),
    )


def _largest(errors: Sequence[float | None]) -> float:
    """The largest error; NaN where one was not measured or is not finite."""
    known = [error for error in errors if error is not None]
    return max(known) if known and len(known) == len(errors) else math.nan


def _extra(
    evaluation: Evaluation, result: WorkloadResult | None, errors: Sequence[OutputError]
) -> dict[str, Any]:
    extra: dict[str, Any] = {
        "evaluation_id": evaluation.evaluation_id,
        "content_hash": evaluation.content_hash,
        "workload_digest": evaluation.workload_digest,
        "timer": evaluation.evidence.timer,
    }
    ratios = [error.matched_ratio for error in errors if error.matched_ratio is not None]
    if ratios:
        extra["matched_ratio"] = min(ratios)
    if result is not None and result.status is Status.PASSED:
        if result.baseline_latency_us is not None:
            extra["baseline"] = evaluation.baseline
            extra["baseline_latency_ms"] = result.baseline_latency_us / 1000.0
        if result.latency_interval_us is not None:
            extra["latency_interval_ms"] = [us / 1000.0 for us in result.latency_interval_us]
    return extra


def _log(evaluation: Evaluation, result: WorkloadResult | None, verdict: Status) -> str:
    if verdict is Status.PASSED:
        return ""
    own = result.failure if result else None
    failure = own or evaluation.failure
    return f"{verdict}: {_words(failure)}" if failure else str(verdict)


def _words(failure: Failure) -> str:
    parts = (failure.message, failure.remedy, failure.excerpt or "")
    return "\n".join(part for part in parts if part)
