"""An evaluation as one screen of text: the verdict, why, the numbers, the next step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....tools.schema.evaluation import (
    UNFAILED,
    Evaluation,
    Failure,
    Scope,
    Severity,
    Status,
    WorkloadResult,
)
from ....tools.schema.measurement import Objective, TimeSource
from ....tools.text import counted, short_uuid, shorten
from ..text import (
    axes_words,
    budget_words,
    cut,
    lines,
    microseconds,
    number,
    sentences,
    table,
)
from . import static_check

if TYPE_CHECKING:
    from ....tools.evaluation.ladder.rung_times import RungTime

TABLE_ROWS = 10
SUMMARY_CHARACTERS = 1_000
_MEANINGS = {
    Objective.COLD: "with a cold L2",
    Objective.CLEAN: "with a cold L2 that holds nothing to be written back",
    Objective.SUSTAINED: "of calls back to back over more data than the L2 holds",
    Objective.WARM: "with inputs in the L2",
}
"""What an objective's latency is, in words."""


def summary(
    evaluation: Evaluation,
    chosen: list[WorkloadResult],
    shown: str | None,
    steps: list[str],
    seen: str | None = None,
    *,
    most: int = SUMMARY_CHARACTERS,
    whole: bool = True,
) -> str:
    """One screen: verdict, numbers, the rows that matter, the next step.

    Args:
        most: characters of what failed.
        whole: whether it is read alone; else what fields beside it list is only named.
    """
    if evaluation.status is Status.RUNNING:
        return lines(
            f"RUNNING: {evaluation.not_timed_reason or evaluation.stage.value}. The work goes on.",
            f"Next: {steps[0]}",
            f"evaluation_id {evaluation.evaluation_id}",
        )
    spent = budget_words(evaluation.evidence.seconds, evaluation.evidence.budgets)
    return lines(
        _verdict(evaluation, whole=whole),
        _failure_words(evaluation.failure, most),
        _static_words(evaluation, whole=whole),
        _other_build_words(evaluation),
        _speed_words(evaluation, whole=whole),
        _claim_words(evaluation) if whole else None,
        _held_out_words(evaluation, whole=whole),
        _rows(chosen[:TABLE_ROWS]) if whole and evaluation.status in UNFAILED else None,
        shown if whole else None,
        _findings_words(evaluation) if whole else None,
        spent if whole or evaluation.status not in (Status.PASSED, Status.PARTIAL) else None,
        seen,
        f"Next: {cut(steps[0], SUMMARY_CHARACTERS)}" if steps and whole else None,
        f"evaluation_id {evaluation.evaluation_id}" if whole else None,
    )


def only_compiled(evaluation: Evaluation) -> bool:
    """Whether the candidate was built and none of it run."""
    return evaluation.scope is Scope.STATIC or evaluation.status is Status.COMPILED


def _static_words(evaluation: Evaluation, *, whole: bool) -> str | None:
    if evaluation.scope is not Scope.STATIC:
        return None
    failure = evaluation.failure
    return static_check.static_words(
        evaluation.static,
        axes_of(evaluation),
        rows_too=whole,
        said=failure.message if failure else "",
    )


def _other_build_words(evaluation: Evaluation) -> str | None:
    """What the build for the first target takes, beside a run of it elsewhere."""
    failed = evaluation.failure is not None and evaluation.static and evaluation.static.failures
    if only_compiled(evaluation) or failed:
        return None
    return static_check.build_words(evaluation.static)


def axes_of(evaluation: Evaluation) -> dict[str, dict[str, int]]:
    """The axes of each workload, by uuid."""
    return {workload.uuid: workload.axes for workload in evaluation.workloads}


def _verdict(evaluation: Evaluation, *, whole: bool) -> str:
    totals = evaluation.totals
    if evaluation.status is Status.COMPILED:
        return f"COMPILED at scope {evaluation.scope}: nothing has run."
    counts = f"{counted(totals.passed, 'workload')} passed, {totals.failed} failed"
    if totals.not_run:
        counts += f", {totals.not_run} not run (never counted as passed)"
    reason = evaluation.partial_reason
    reason = f" {cut(reason, 600) if whole else 'partial_reason says why'}." if reason else ""
    return f"{evaluation.status} at scope {evaluation.scope}: {counts}.{reason}"


def _failure_words(failure: Failure | None, most: int) -> str | None:
    if failure is None:
        return None
    place = f", {axes_words(failure.axes)}" if failure.axes else ""
    said = (sentences(failure.message, most) or failure.kind).rstrip(". ")
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


def _speed_words(evaluation: Evaluation, *, whole: bool) -> str | None:
    totals = evaluation.totals
    if totals.mean_latency_us is None:
        reason = evaluation.not_timed_reason if whole else None
        return f"No latency: {reason}" if reason and evaluation.status in UNFAILED else None
    if not whole:
        return _headline(evaluation)
    clock = f" {sealing.source}" if (sealing := evaluation.sealing) else ""
    by = _MEANINGS[evaluation.objective]
    inputs = f", on inputs {family}" if (family := evaluation.input_family) else ""
    words = f"Mean latency {microseconds(totals.mean_latency_us)}{clock}, {by}{inputs}"
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


def _headline(evaluation: Evaluation) -> str:
    """The speedup, or the latency where nothing was compared; the totals have the rest."""
    totals = evaluation.totals
    clock = f", {sealing.source}" if (sealing := evaluation.sealing) else ""
    if sealing and sealing.reason:
        clock += " (never promoted)"
    if evaluation.objective is not Objective.COLD:
        clock += f", {evaluation.objective}"
    inputs = f", on inputs {family}" if (family := evaluation.input_family) else ""
    ratio = totals.geometric_mean_ratio or totals.mean_of_ratios
    if ratio is None:
        return f"Mean latency {microseconds(totals.mean_latency_us)}{clock}{inputs}; no baseline."
    return f"{number(ratio)}x the baseline, geometric mean{clock}{inputs}."


def unclimbed_words(rungs: Sequence[RungTime]) -> str | None:
    """Why no other program was timed, where all have one reason; None otherwise."""
    if any(rung.times is not None for rung in rungs) or len({rung.reason for rung in rungs}) != 1:
        return None
    return f"Ladder: {', '.join(rung.rung for rung in rungs)}: {rungs[0].reason}."


def ladder_words(rungs: Sequence[RungTime]) -> str | None:
    """How many times faster than each other program, one a row; None without a ladder."""
    if not rungs:
        return None
    if words := unclimbed_words(rungs):
        return words
    rows = [
        (
            rung.rung,
            f"{number(rung.times)}x" if rung.times is not None else "–",
            number(rung.mean_us),
            f"{rung.clock}, {cut(rung.reason, 100) or counted(rung.workloads, 'workload')}"
            if rung.times is not None
            else cut(rung.reason, 100) or "–",
        )
        for rung in rungs
    ]
    return lines("Ladder:", table(("program", "faster", "mean µs", "timed"), rows))


def _held_out_words(evaluation: Evaluation, *, whole: bool) -> str | None:
    """How many held-out sizes were called, what that shows, and the speed on them."""
    found = evaluation.held_out
    if found is None or evaluation.status not in UNFAILED or not found.called:
        return None
    words = f"Held out: {counted(found.called, 'size')} called"
    if found.chance and whole:
        words += "; a fault on 5 % of the sizes is met with a probability of "
        words += f"{100 * found.chance:.0f} %"
    if found.left_out:
        words += f" ({found.left_out} more were too slow here)"
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
    others |= {
        f"{target} floor µs": [result.floors_us.get(target) for result in timed]
        for target in [t for result in timed for t in result.floors_us if t != "device"][:1]
    }
    taken = {name: column for name, column in others.items() if any(column)}
    return table(
        ("workload", "axes", "µs", "clock", *taken, "speedup", "decision", "SOL %"),
        [
            (
                short_uuid(result.uuid),
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
