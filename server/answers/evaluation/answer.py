"""Evaluations in words: the verdict first, then why, then what to do.

Pure; it words an `Evaluation` and decides nothing. Which of many workloads are shown is its only
choice: those that failed, then those that cost the most time.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from ....tools.documents import evaluation_uri
from ....tools.schema.evaluation import (
    UNDECIDED,
    DeviceInfo,
    Evaluation,
    Evidence,
    Failure,
    Finding,
    Severity,
    Status,
    WorkloadResult,
)
from ....tools.schema.measurement import Decision, Objective, TimeSource
from ....tools.signing.keyring import Trust, Verification
from ....tools.text import short_uuid
from .. import plans
from ..text import (
    Detail,
    cut,
    fitted,
    lines,
    sentences,
    showing,
)
from . import static_check, summary
from .limits import MOST_KERNELS, ROWS, TEXTS_FIRST, Limits, limits_of
from .models import (
    EvaluationAnswer,
    EvidencePart,
    FailurePart,
    FindingPart,
    IntegrityPart,
    RungPart,
    SeenPart,
    TotalsPart,
    WorkloadVerdict,
)
from .next_steps import next_steps, not_committed_words

if TYPE_CHECKING:
    from ....tools.evaluation.service import Evaluated

from ....tools.devices.roofline import sol_exec_bench_score_guarded, sol_percent

FEW_ROWS = 6
"""Of more workloads than all of which are shown at `concise`."""
_DETAILS = (
    *("regime", "latency_interval_us", "baseline_latency_us", "baseline_called_us", "cold_us"),
    *("clean_us", "baseline_clean_us", "sustained_us", "baseline_sustained_us", "warm_us"),
    "baseline_warm_us",
)
"""What is told of a workload only where all is shown."""
_INCLUDED = re.compile(r"In file included from |\s+from \S+:\d+[,:]")
GAPS = 1.5
"""Times its latency that a call takes in the candidate's process, from which both are told."""


def evaluation_answer(evaluated: Evaluated, detail: Detail = "concise") -> EvaluationAnswer:
    """Words an evaluation, and what the archive knows of its program.

    Args:
        detail: 'concise' tells once what decides; 'detailed' more workloads, longer excerpts, and
            a summary that can be read alone.
    """
    evaluation, known = evaluated.evaluation, evaluated.recognition
    seen = SeenPart.of(known.prior_run) if known.prior_run else None
    unverified, signed = _trust_words(evaluated.verification)
    steps = next_steps(evaluation, unverified)
    concise = detail == "concise"
    most = ROWS[detail]
    if concise and summary.only_compiled(evaluation):
        most = MOST_KERNELS
    elif concise and len(evaluation.workloads) > most:
        most = FEW_ROWS
    outside = part.outside if (part := plans.anchors_part(known.anchors)) else []
    warning = f"UNVERIFIED, it ranks nowhere: {unverified}. It says:" if unverified else None
    unclimbed = summary.unclimbed_words(evaluated.ladder)
    climbed = unclimbed if concise else summary.ladder_words(evaluated.ladder)
    after = (climbed, plans.anchor_words(known.anchors), _earlier_words(evaluated), signed)
    commit = not_committed_words(evaluated.not_committed)

    def build(left: int) -> EvaluationAnswer:
        answer = _answer(evaluation, detail, limits_of(detail, left, most), seen, steps)
        screen = lines(warning, answer.summary, *after, commit)
        changes = {"summary": screen, "anchors": outside, "unverified": unverified}
        return answer.model_copy(update=changes)

    answer = fitted(build, most + TEXTS_FIRST if concise else most, concise=concise)
    rungs = () if concise and unclimbed else evaluated.ladder
    ladder = [RungPart.of(r, workloads=r.workloads or None) for r in rungs]
    return answer.model_copy(update={"ladder": ladder})


def _earlier_words(evaluated: Evaluated) -> str | None:
    if not evaluated.earlier:
        return None
    judged = evaluated.evaluation.evidence.started_at
    return f"These bytes were judged before, at {judged}; force=true judges them again."


def _trust_words(verification: Verification | None) -> tuple[str | None, str | None]:
    """Why a record does not count, and what is to be said of the signature of one that does."""
    if verification is None or verification.trust is Trust.OWN:
        return None, None
    words = cut(verification.words, 300)
    return (None, f"The record: {words}.") if verification.counts else (words, None)


def _answer(
    evaluation: Evaluation, detail: Detail, limits: Limits, seen: SeenPart | None, steps: list[str]
) -> EvaluationAnswer:
    whole = detail == "detailed"
    candidates = evaluation.workloads
    if evaluation.failure and not whole:  # what was not run for it is counted, and that is all
        candidates = [result for result in candidates if result.status is not Status.NOT_RUN]
    chosen = _worth_showing(candidates, limits.rows)
    uri = evaluation_uri(evaluation.evaluation_id)
    shown = showing(
        len(chosen),
        len(candidates),
        "read_report(uri=evaluation_uri, section='workloads') has all.",
    )
    only_compiled = summary.only_compiled(evaluation)
    words = seen.words if seen and whole else None
    untimed = evaluation.status is Status.RUNNING or (only_compiled and not whole)
    return EvaluationAnswer.of(
        evaluation,
        summary=summary.summary(
            evaluation, chosen, shown, steps, words, most=limits.message, whole=whole
        ),
        next_steps=steps,
        **({} if whole else dict.fromkeys(("definition", "solution_name", "language"))),
        failure=_failure(evaluation.failure, limits.excerpt, whole=whole),
        totals=_totals(evaluation, limits.clock, whole=whole),
        **({"not_timed_reason": None} if untimed else {}),
        workloads=[_workload(w, detail, evaluation) for w in chosen if whole or not only_compiled],
        workloads_shown=shown if whole or not only_compiled else None,
        integrity=_integrity(evaluation, limits.finding, whole=whole),
        static=static_check.static_parts(
            evaluation.static if whole or only_compiled else None,
            limits.kernels,
            summary.axes_of(evaluation),
            whole=whole,
        ),
        static_note=static_check.static_note(
            None if not whole and _is_the_failure(evaluation) else evaluation.static,
            limits.kernels,
            listed=whole or only_compiled,
            reason_characters=limits.reason,
            said=evaluation.failure.message if evaluation.failure and not whole else "",
        ),
        evidence=_evidence(evaluation.evidence, chosen, detail),
        content_hash=evaluation.content_hash if whole else None,
        log=cut(_log(evaluation, whole=whole), limits.log),
        seen_before=seen,
        evaluation_uri=uri,
    )


def _is_the_failure(evaluation: Evaluation) -> bool:
    """Whether the failure's message has what compiling for targets could not show."""
    reason = evaluation.static and evaluation.static.reason
    return bool(reason and evaluation.failure and reason in evaluation.failure.message)


def _worth_showing(workloads: list[WorkloadResult], rows: int) -> list[WorkloadResult]:
    """The rows that decide, in their own order: failures, then the longest of each regime."""

    def weight(result: WorkloadResult) -> tuple[int, float]:
        failed = result.status not in {Status.PASSED, *UNDECIDED}
        cost = (result.latency_us or 0.0) * (result.weight or 1.0)
        return (0 if failed else 1, -cost)

    by_weight = sorted(workloads, key=weight)
    regimes = {r.regime: id(r) for r in reversed(by_weight)}.values()
    sizes = {str(r.axes): id(r) for r in reversed(by_weight)}.values()
    ordered = sorted(
        by_weight, key=lambda r: (weight(r)[0], id(r) not in regimes, id(r) not in sizes)
    )
    kept = {id(result) for result in ordered[:rows]}
    return [result for result in workloads if id(result) in kept]


def _failure(failure: Failure | None, excerpt: int, *, whole: bool) -> FailurePart | None:
    """The failure; whole with what `summary` and the first of `next_steps` say of it."""
    if failure is None:
        return None
    return FailurePart.of(
        failure,
        message=failure.message if whole else None,
        remedy=failure.remedy if whole else None,
        held_out=failure.held_out or None,
        excerpt=cut(failure.excerpt if whole else _first_errors(failure.excerpt), excerpt),
    )


def _first_errors(excerpt: str | None) -> str | None:
    """What was printed without the lines in which a compiler tells who includes whom."""
    kept = [line for line in (excerpt or "").splitlines() if not _INCLUDED.match(line)]
    return "\n".join(kept) or None


def _log(evaluation: Evaluation, *, whole: bool) -> str:
    """What the candidate printed; not what a crash printed, of which the excerpt has the part."""
    excerpt = (evaluation.failure and evaluation.failure.excerpt or "").lstrip()
    crash = excerpt.startswith("Fatal Python error") and excerpt.splitlines()[0]
    known = crash and evaluation.log.lstrip().startswith(crash)
    return "" if known and not whole else evaluation.log


def _totals(evaluation: Evaluation, clock_characters: int, *, whole: bool) -> TotalsPart:
    totals = evaluation.totals
    counts = ("wins", "ties", "losses", "inconclusive")
    hidden: dict[str, None] = {} if whole else {"mean_of_ratios": None, "ratio_of_means": None}
    if not whole or not any(getattr(totals, name) for name in counts):
        hidden |= {name: None for name in counts if not getattr(totals, name)}
    sealing, objective = evaluation.sealing, evaluation.objective
    return TotalsPart.of(
        totals,
        objective=None if objective is Objective.COLD and not whole else str(objective),
        floors_us=_mean_floors(evaluation),
        input_family=evaluation.input_family or None,
        clock=str(sealing.source) if sealing else None,
        clock_reason=cut(sealing.reason, clock_characters) if sealing else None,
        **hidden,
    )


def _mean_floors(evaluation: Evaluation) -> dict[str, float]:
    """The mean floor of each device over the workloads that have a latency."""
    floors = [r.floors_us for r in evaluation.workloads if r.latency_us is not None]
    devices = {d: None for known in floors for d in known if d != "device"}
    return {
        d: sum(f[d] for f in floors) / len(floors) for d in devices if all(d in f for f in floors)
    }


def _workload(result: WorkloadResult, detail: Detail, evaluation: Evaluation) -> WorkloadVerdict:
    failed = result.status is not Status.PASSED
    errors = result.errors if detail == "detailed" else []
    if failed and not errors:  # of values that are not finite there is no error to tell
        errors = [error for error in result.errors if error.max_absolute]
    reason = result.reason
    if reason is None and result.failure is not None:
        reason = result.failure.message
    failure = evaluation.failure
    if reason in (failure.message if failure else None, evaluation.not_timed_reason):
        reason = None  # it is the trial's, told once
    if detail == "concise" and reason and reason in (evaluation.partial_reason or ""):
        reason = None
    hidden = {} if detail == "detailed" else _left_out(result, evaluation)
    return WorkloadVerdict.of(
        result,
        **{
            "reason": cut(reason, 300),
            "errors": errors,
            "clock": str(result.sealing.source) if result.sealing else None,
            "decision": result.comparison.decision if result.comparison else None,
            "sol_percents": sol_percents(result),
            "sol_exec_bench_score": sol_exec_bench(result),
            "warm_us": result.warm_latency_us,
            **hidden,
        },
    )


def _left_out(result: WorkloadResult, evaluation: Evaluation) -> dict[str, Any]:
    """What a short row tells otherwise than the whole one: nothing that the totals say."""
    left: dict[str, Any] = dict.fromkeys(_DETAILS)
    left |= {"uuid": short_uuid(result.uuid), "sol_percents": {}, "sol_exec_bench_score": None}
    timed = result.latency_us is not None
    untold = timed or evaluation.failure is not None
    left["floors_us"] = (
        {} if untold else {name: us for name, us in result.floors_us.items() if name != "device"}
    )
    if result.status is Status.PASSED:
        left["status"] = None
    clocks = {other.sealing.source for other in evaluation.workloads if other.sealing}
    if len(clocks) < 2 or (result.sealing and result.sealing.source is TimeSource.SEALED):
        left["clock"] = None
    if result.comparison and result.comparison.decision in (Decision.FASTER, Decision.SLOWER):
        left["decision"] = None
    if (result.called_us or 0.0) < GAPS * (result.latency_us or 0.0):
        left["called_us"] = None
    return left


def _integrity(evaluation: Evaluation, most: int, *, whole: bool) -> IntegrityPart:
    """The findings; the checks that ran, and those that could not, only where all is shown."""
    integrity = evaluation.integrity
    order = [Severity.VIOLATION, Severity.WARNING, Severity.NOTE]
    findings = sorted(integrity.findings, key=lambda finding: order.index(finding.severity))
    if not whole:
        stated = evaluation.failure.message if evaluation.failure else None
        parts = _by_claim(findings, stated, most)[:8]
        return IntegrityPart.of(integrity, checks=[], not_run={}, findings=parts)
    left = {name: why[:160] for name, why in [*integrity.not_run.items()][:20]}
    return IntegrityPart.of(integrity, not_run=left, findings=findings[:8])


def _by_claim(findings: list[Finding], stated: str | None, most: int) -> list[FindingPart]:
    """The first finding of each claim, with how many say the same of other workloads.

    Args:
        stated: the failure's message: a finding that says the same is only named.
        most: characters of each.
    """
    alike = Counter((f.claim, f.severity) for f in findings)
    first = {(f.claim, f.severity): f for f in reversed(findings)}
    parts = []
    for one, number in alike.items():
        said = first[one].message
        words = [] if said == stated else [sentences(said, most)]
        words += [f"({number - 1} more like it.)"] if number > 1 else []
        severity = None if one[1] is Severity.WARNING else one[1]
        message = " ".join(words) or None
        parts.append(FindingPart.of(first[one], message=message, severity=severity))
    return parts


def _device_words(device: DeviceInfo) -> str:
    """The device's name, and which of its model it is."""
    uuid = (device.uuid or "").removeprefix("GPU-")
    return f"{device.name} (GPU-{uuid[:8]})" if uuid else device.name


def _evidence(evidence: Evidence, chosen: list[WorkloadResult], detail: Detail) -> EvidencePart:
    """On what it ran and by which clock; with what repeats it where all is shown."""
    device = evidence.device
    if detail == "concise":
        return EvidencePart(device=device.name if device else None)
    shown = {
        "device": _device_words(device) if device else None,
        "executor": device.executor if device else None,
        "clocks": _clocks(evidence),
    }
    uuids = [result.uuid for result in chosen[:5]]
    return EvidencePart.of(
        evidence,
        **shown,
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
