"""Evaluations in words: the verdict first, then why, then what to do.

Pure; it words an `Evaluation` and decides nothing. Which of many workloads are shown is its only
choice: those that failed, then those that cost the most time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...tools.documents import evaluation_uri
from ...tools.schema.evaluation import (
    UNDECIDED,
    UNFAILED,
    Evaluation,
    Evidence,
    Failure,
    Scope,
    Severity,
    Status,
    WorkloadResult,
)
from ...tools.schema.measurement import Objective, TimeSource
from ...tools.signing.keyring import Trust, Verification
from ...tools.text import shorten
from . import static_check
from .models import (
    EvaluationAnswer,
    EvidencePart,
    FailurePart,
    IntegrityPart,
    SeenPart,
    TotalsPart,
    WorkloadVerdict,
)
from .next_steps import next_steps, not_committed_words
from .text import (
    Detail,
    axes_words,
    budget_words,
    counted,
    cut,
    fitted,
    lines,
    microseconds,
    number,
    showing,
    table,
)

if TYPE_CHECKING:
    from ...tools.evaluation.service import Evaluated

from ...tools.devices.roofline import sol_exec_bench_score_guarded, sol_percent

ROWS: dict[str, int] = {"concise": 10, "detailed": 60}
TABLE_ROWS = 10
SUMMARY_CHARACTERS = 1_000
EXCERPT_CHARACTERS = {"concise": 2_000, "detailed": 6_000}
LOG_CHARACTERS = {"concise": 800, "detailed": 4_000}
_MEANINGS = {
    Objective.COLD: "with a cold L2",
    Objective.CLEAN: "with a cold L2 that holds nothing to be written back",
    Objective.SUSTAINED: "of calls back to back over more data than the L2 holds",
    Objective.WARM: "with inputs in the L2",
}
"""What an objective's latency is, in words."""


def evaluation_answer(evaluated: Evaluated, detail: Detail = "concise") -> EvaluationAnswer:
    """Words an evaluation, and what the archive knows of its program.

    Args:
        detail: 'concise' shows what decides; 'detailed' more workloads and longer excerpts.
    """
    evaluation, known = evaluated.evaluation, evaluated.recognition
    seen = SeenPart.of(known.prior_run) if known.prior_run else None
    unverified, signed = _trust_words(evaluated.verification)
    steps = next_steps(evaluation, unverified)
    answer = fitted(lambda rows: _answer(evaluation, detail, rows, seen, steps), ROWS[detail])
    earlier = None
    if evaluated.earlier:
        judged = evaluation.evidence.started_at
        earlier = f"These bytes were judged before, at {judged}; force=true judges them again."
    outside = part.outside if (part := static_check.anchors_part(known.anchors)) else []
    warning = f"UNVERIFIED, it ranks nowhere: {unverified}. It says:" if unverified else None
    left = static_check.anchor_words(known.anchors)
    commit = not_committed_words(evaluated.not_committed)
    summary = lines(warning, answer.summary, left, earlier, signed, commit)
    changes = {"summary": summary, "anchors": outside, "unverified": unverified}
    return answer.model_copy(update=changes)


def _trust_words(verification: Verification | None) -> tuple[str | None, str | None]:
    """Why a record does not count, and what is to be said of the signature of one that does."""
    if verification is None or verification.trust is Trust.OWN:
        return None, None
    words = cut(verification.words, 300)
    return (None, f"The record: {words}.") if verification.counts else (words, None)


def _answer(
    evaluation: Evaluation, detail: Detail, rows: int, seen: SeenPart | None, steps: list[str]
) -> EvaluationAnswer:
    chosen = _worth_showing(evaluation.workloads, rows)
    uri = evaluation_uri(evaluation.evaluation_id)
    shown = showing(
        len(chosen),
        len(evaluation.workloads),
        f"all are in evaluation_uri: read_report(uri='{uri}', section='workloads').",
    )
    compiled = min(static_check.STATIC_ROWS, rows + 2) if detail == "concise" else 2 * rows
    return EvaluationAnswer.of(
        evaluation,
        summary=summary(evaluation, chosen, shown, steps, seen.words if seen else None),
        next_steps=steps,
        failure=_failure(evaluation.failure, EXCERPT_CHARACTERS[detail]),
        totals=_totals(evaluation),
        workloads=[_workload(w, detail, evaluation.failure) for w in chosen],
        workloads_shown=shown,
        integrity=_integrity(evaluation),
        static=static_check.static_parts(evaluation.static, compiled, _axes(evaluation)),
        static_note=static_check.static_note(evaluation.static, compiled, uri),
        evidence=_evidence(evaluation.evidence, chosen),
        log=cut(evaluation.log, LOG_CHARACTERS[detail]),
        seen_before=seen,
        evaluation_uri=uri,
    )


def _worth_showing(workloads: list[WorkloadResult], rows: int) -> list[WorkloadResult]:
    """The rows that decide, in their own order: failures, then the longest, then the rest."""

    def weight(result: WorkloadResult) -> tuple[int, float]:
        failed = result.status not in {Status.PASSED, *UNDECIDED}
        cost = (result.latency_us or 0.0) * (result.weight or 1.0)
        return (0 if failed else 1, -cost)

    kept = {id(result) for result in sorted(workloads, key=weight)[:rows]}
    return [result for result in workloads if id(result) in kept]


def _failure(failure: Failure | None, excerpt: int) -> FailurePart | None:
    if failure is None:
        return None
    return FailurePart.of(
        failure, held_out=failure.held_out or None, excerpt=cut(failure.excerpt, excerpt)
    )


def _totals(evaluation: Evaluation) -> TotalsPart:
    totals = evaluation.totals
    hidden: dict[str, None] = {}
    if not totals.wins + totals.ties + totals.losses + totals.inconclusive:
        hidden |= dict.fromkeys(("wins", "ties", "losses", "inconclusive"))
    sealing = evaluation.sealing
    return TotalsPart.of(
        totals,
        objective=str(evaluation.objective),
        clock=str(sealing.source) if sealing else None,
        clock_reason=sealing.reason or None if sealing else None,
        **hidden,
    )


def _workload(result: WorkloadResult, detail: Detail, failure: Failure | None) -> WorkloadVerdict:
    failed = result.status is not Status.PASSED
    errors = result.errors if detail == "detailed" or failed else []
    reason = result.reason
    if reason is None and result.failure is not None:
        reason = result.failure.message
    if failure is not None and reason == failure.message:
        reason = None  # it is the trial's failure, told once
    return WorkloadVerdict.of(
        result,
        reason=cut(reason, 300),
        errors=errors,
        warm_us=result.warm_latency_us,
        clock=str(result.sealing.source) if result.sealing else None,
        decision=result.comparison.decision if result.comparison else None,
        sol_percents=sol_percents(result),
        sol_exec_bench_score=sol_exec_bench(result),
    )


def _integrity(evaluation: Evaluation) -> IntegrityPart:
    integrity = evaluation.integrity
    order = [Severity.VIOLATION, Severity.WARNING, Severity.NOTE]
    findings = sorted(integrity.findings, key=lambda finding: order.index(finding.severity))
    return IntegrityPart.of(
        integrity,
        not_run={name: reason[:160] for name, reason in list(integrity.not_run.items())[:20]},
        findings=findings[:8],
    )


def _evidence(evidence: Evidence, chosen: list[WorkloadResult]) -> EvidencePart:
    uuids = [result.uuid for result in chosen[:5]]
    device = evidence.device
    return EvidencePart.of(
        evidence,
        device=device.name if device else None,
        executor=device.executor if device else None,
        clocks=_clocks(evidence),
        seeds={uuid: evidence.seeds[uuid][:3] for uuid in uuids if uuid in evidence.seeds},
        seconds={name: round(seconds, 2) for name, seconds in evidence.seconds.items()},
    )


def _clocks(evidence: Evidence) -> str | None:
    clocks = [sample.sm_mhz for sample in evidence.clocks if sample.sm_mhz is not None]
    if not clocks:
        return None
    reasons = sorted({reason for sample in evidence.clocks for reason in sample.throttle})
    throttled = f"throttled by {', '.join(reasons)}" if reasons else "no throttling seen"
    return f"SM {min(clocks)} to {max(clocks)} MHz, {throttled}"


def summary(
    evaluation: Evaluation,
    chosen: list[WorkloadResult],
    shown: str | None,
    steps: list[str],
    seen: str | None = None,
) -> str:
    """One screen: verdict, numbers, the rows that matter, the next step."""
    if evaluation.status is Status.RUNNING:
        return lines(
            f"RUNNING: {evaluation.not_timed_reason or evaluation.stage.value}. The work goes on.",
            f"Next: {steps[0]}",
            f"evaluation_id {evaluation.evaluation_id}",
        )
    return lines(
        _verdict(evaluation),
        _failure_words(evaluation.failure),
        _static_words(evaluation),
        _speed_words(evaluation),
        _claim_words(evaluation),
        _held_out_words(evaluation),
        _rows(chosen[:TABLE_ROWS]) if evaluation.status in UNFAILED else None,
        shown,
        _findings_words(evaluation),
        budget_words(evaluation.evidence.seconds, evaluation.evidence.budgets),
        seen,
        f"Next: {cut(steps[0], SUMMARY_CHARACTERS)}" if steps else None,
        f"evaluation_id {evaluation.evaluation_id}",
    )


def _static_words(evaluation: Evaluation) -> str | None:
    if evaluation.scope is not Scope.STATIC:
        return None
    return static_check.static_words(evaluation.static, _axes(evaluation))


def _axes(evaluation: Evaluation) -> dict[str, dict[str, int]]:
    """The axes of each workload, by uuid."""
    return {workload.uuid: workload.axes for workload in evaluation.workloads}


def _verdict(evaluation: Evaluation) -> str:
    totals = evaluation.totals
    if evaluation.status is Status.COMPILED:
        return f"COMPILED at scope {evaluation.scope}: nothing has run."
    counts = f"{counted(totals.passed, 'workload')} passed, {totals.failed} failed"
    if totals.not_run:
        counts += f", {totals.not_run} not run (never counted as passed)"
    reason = f" {cut(reason, 600)}." if (reason := evaluation.partial_reason) else ""
    return f"{evaluation.status} at scope {evaluation.scope}: {counts}.{reason}"


def _failure_words(failure: Failure | None) -> str | None:
    if failure is None:
        return None
    place = f", {axes_words(failure.axes)}" if failure.axes else ""
    said = (cut(failure.message, SUMMARY_CHARACTERS) or failure.kind).rstrip(". ")
    return f"{failure.stage}{place}: " + " ".join(f"{part}." for part in (said, *_unsaid(failure)))


def _unsaid(failure: Failure) -> list[str]:
    """What the failure's fields know and its message does not say, in sentences."""
    parts = []
    output, index, total = failure.output, failure.index, failure.total
    if output and repr(output) not in failure.message:
        parts.append(f"Output {output!r}")
    if index is not None and str(index) not in failure.message:
        got = "a value that is not finite" if failure.got is None else failure.got
        parts.append(f"At {index}: expected {failure.expected}, got {got}")
    spread = f"{failure.mismatched} of {total} elements"
    if failure.mismatched is not None and total and spread not in failure.message:
        parts.append(f"{spread} differ")
    if failure.cluster and failure.cluster not in failure.message:
        parts.append(shorten(failure.cluster, 300))
    return parts


def _speed_words(evaluation: Evaluation) -> str | None:
    totals = evaluation.totals
    if totals.mean_latency_us is None:
        reason = evaluation.not_timed_reason
        return f"No latency: {reason}" if reason and evaluation.status in UNFAILED else None
    clock = f" {sealing.source}" if (sealing := evaluation.sealing) else ""
    by = _MEANINGS[evaluation.objective]
    words = f"Mean latency {microseconds(totals.mean_latency_us)}{clock}, {by}"
    if totals.estimated_full_mean_us is not None:
        words += f" (over all workloads about {microseconds(totals.estimated_full_mean_us)})"
    if totals.baseline_mean_latency_us is None:
        return f"{words}; there is no baseline to compare to."
    ratio = number(totals.geometric_mean_ratio or totals.mean_of_ratios)
    interval = totals.ratio_interval
    between = f", 95 % interval {number(interval[0])} to {number(interval[1])}" if interval else ""
    counts = (
        f"{totals.wins} faster, {totals.ties} equal, {totals.losses} slower, "
        f"{totals.inconclusive} undecided"
    )
    return (
        f"{words}; baseline {evaluation.baseline}: "
        f"{microseconds(totals.baseline_mean_latency_us)}. "
        f"Geometric mean speedup {ratio}x{between}; workloads: {counts}."
    )


def _held_out_words(evaluation: Evaluation) -> str | None:
    """How many held-out sizes were called, what that shows, and the speed on them."""
    found = evaluation.held_out
    if found is None or evaluation.status not in UNFAILED or not found.called:
        return None
    words = f"Held out: {counted(found.called, 'size')} called"
    if found.chance:
        words += f"; a fault on 5 % of the sizes would be met with {100 * found.chance:.0f} %"
    if found.left_out:
        words += f" (of sizes like these: {found.left_out} more were too slow here)"
    if found.ratio is not None:
        clock = TimeSource.SEALED if found.sealed else TimeSource.CLAIMED
        sizes = counted(found.timed, "held-out size")
        words += f". Speedup on {sizes} {number(found.ratio)}x ({clock})"
    return f"{words}."


def _claim_words(evaluation: Evaluation) -> str | None:
    """Why times are only claimed; None for sealed ones and where nothing was timed."""
    sealing = evaluation.sealing
    if sealing is None or not sealing.reason:
        return None
    return f"Times are claimed: {cut(sealing.reason, 300)}. They never promote."


def _rows(chosen: list[WorkloadResult]) -> str | None:
    timed = [result for result in chosen if result.latency_us is not None]
    if not timed:
        return None
    others = {
        "cold µs": [result.cold_us for result in timed],
        "clean µs": [result.clean_us for result in timed],
        "sustained µs": [result.sustained_us for result in timed],
        "warm µs": [result.warm_latency_us for result in timed],
        "called µs": [result.called_us for result in timed],
    }
    taken = {name: column for name, column in others.items() if any(column)}
    return table(
        ("workload", "axes", "µs", "clock", *taken, "speedup", "decision", "SOL %"),
        [
            (
                result.uuid[:8],
                axes_words(result.axes),
                number(result.latency_us),
                str(result.sealing.source) if result.sealing else "–",
                *(number(column[row]) for column in taken.values()),
                number(result.speedup),
                result.comparison.decision.value if result.comparison else "–",
                number(result.sol_percent),
            )
            for row, result in enumerate(timed)
        ],
    )


def _findings_words(evaluation: Evaluation) -> str | None:
    loud = [f for f in evaluation.integrity.findings if f.severity is not Severity.NOTE]
    if not loud:
        return None
    return "Integrity: " + " ".join(f"[{f.claim}] {cut(f.message, 300)}" for f in loud[:3])


def sol_percents(result: WorkloadResult) -> dict[str, float]:
    """Each floor over the latency, in percent; nothing for a workload without a latency."""
    found = {
        kind: sol_percent(floor, result.latency_us)
        for kind, floor in result.device_floors_us.items()
    }
    return {kind: round(percent, 1) for kind, percent in found.items() if percent is not None}


def sol_exec_bench(result: WorkloadResult) -> float | None:
    """SOL-ExecBench's number against the baseline; None where its formula has no meaning."""
    floor = result.device_floors_us.get("nominal")
    if floor is None or result.latency_us is None or result.baseline_latency_us is None:
        return None
    score = sol_exec_bench_score_guarded(result.latency_us, result.baseline_latency_us, floor).value
    return None if score is None else round(score, 4)
