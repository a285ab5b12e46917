"""Facts of a candidate for selection, search and advice, derived from its record.

Pure. `facts_of` derives every figure from the evaluation's record, once; commit message, notes and
index all take them from there. An infrastructure fault leaves a candidate UNDECIDED: it is never
held against the kernel. So does a record whose signature does not count here: nothing it says does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from ...devices.noise_floor import LEAST_EFFECT_ACROSS_EVALUATIONS, least_effect
from ...errors import ArchiveError
from ...schema.evaluation import UNDECIDED, Evaluation, Scope, Status, WorkloadResult
from ...schema.measurement import Decision, Objective, TimeSource
from ...signing.keyring import Trust, Verification
from ...text import counted, one_line


class CandidateStatus(StrEnum):
    """Outcome of a candidate against its best parent, or against the baseline at a root."""

    FAILED = "failed"
    SLOWER = "slower"
    EQUAL = "equal"
    FASTER = "faster"
    UNCOMPARED = "uncompared"
    """Timed, where no parent was and nothing else was asked for."""
    UNTIMED = "untimed"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class RegimeFact:
    """One regime of one candidate: mean latency and geometric mean ratio to its baseline."""

    name: str
    latency_us: float | None
    ratio: float | None
    decision: str


@dataclass(frozen=True, kw_only=True)
class CandidateFacts:
    """Facts of one evaluation of a candidate.

    Attributes:
        hardware: device as in refs, with the objective; "cpu" without one.
        outcome_words: the outcome with its numbers and what it was compared to.
        latency_us: what it ranks by; None when untimed or failed.
        clock: "sealed" or "claimed", of `latency_us`; empty without one.
        clock_reason: why the latency is only claimed; empty otherwise.
        speedup: geometric mean of the ratios to the baseline.
        noise: |ln ratio| below which two latencies are the same.
        at: when the evaluation began, in seconds since the epoch.
        seconds: wall time that the evaluation took.
        trust: what the record's signature is worth here (`Trust`).
        trust_words: who signed it, or why it does not count.
    """

    evaluation_id: str
    content_hash: str
    hardware: str
    scope: str
    status: str
    stage: str
    outcome: CandidateStatus
    outcome_words: str
    latency_us: float | None
    speedup: float | None
    noise: float
    at: int
    regimes: tuple[RegimeFact, ...] = ()
    failure: str = ""
    error_signature: str = ""
    seconds: float = 0.0
    baseline_hash: str = ""
    clock: str = ""
    clock_reason: str = ""
    trust: str = Trust.OWN
    trust_words: str = ""

    @property
    def verified(self) -> bool:
        """Whether what its record says counts here."""
        return self.trust != Trust.UNVERIFIED

    @property
    def failed(self) -> bool:
        """Whether it was judged and found wrong."""
        return self.outcome is CandidateStatus.FAILED

    @property
    def sealed(self) -> bool:
        """Whether it has a latency that its own process could not have changed."""
        return self.clock == TimeSource.SEALED

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Sort key on one device: sealed latencies, claimed ones, then none; the least first."""
        return self.latency_us is None, not self.sealed, self.latency_us or 0.0

    @property
    def latency_words(self) -> str:
        """The latency with its unit and its clock, e.g. "8.2 us claimed"; empty without one."""
        return f"{number(self.latency_us)} us {self.clock}" if self.latency_us is not None else ""

    @property
    def decision(self) -> str:
        """The outcome with its numbers and what it was compared to."""
        return f"{self.outcome}: {self.outcome_words}"


@dataclass(frozen=True, kw_only=True)
class Node(CandidateFacts):
    """One candidate of the search tree: its facts, its place, and what its author said.

    Attributes:
        plan: id of the plan that it was written to.
        client, model: with the version and the effort.
    """

    candidate_id: str
    commit: str
    ref: str
    parents: tuple[str, ...]
    definition: str
    op_type: str
    name: str
    language: str
    normalised_hash: str
    technique: tuple[str, ...] = ()
    bottlenecks: tuple[str, ...] = ()
    hypothesis: str = ""
    lesson: str = ""
    notes: tuple[str, ...] = ()
    plan: str = ""
    client: str = ""
    model: str = ""
    session: str = ""


UNVERIFIED = "UNVERIFIED"
"""Stands for the status of a record that does not count here."""


def facts_of(
    evaluation: Evaluation,
    verification: Verification,
    workload_count: int = 0,
    parents: Sequence[Node] = (),
) -> CandidateFacts:
    """Derives a candidate's facts from its record and those of its parents that could be read.

    Raises:
        ArchiveError: when the record's time cannot be read.
    """
    if not verification.counts:
        return _unverified_facts(evaluation, verification)
    latency = ranked_latency_us(evaluation, workload_count)
    noise = noise_level(evaluation, latency)
    clock = evaluation.sealing if latency is not None else None
    said = str(clock.source) if clock else ""
    outcome, words = _outcome(evaluation, latency, said, noise, parents)
    failure, seconds = evaluation.failure, evaluation.evidence.seconds
    return CandidateFacts(
        evaluation_id=evaluation.evaluation_id,
        content_hash=evaluation.content_hash,
        hardware=gpu_name(evaluation),
        scope=str(evaluation.scope),
        status=str(evaluation.status),
        stage=str(evaluation.stage),
        outcome=outcome,
        outcome_words=words,
        latency_us=latency,
        speedup=evaluation.totals.geometric_mean_ratio if not evaluation.input_family else None,
        noise=noise,
        at=started_at(evaluation),
        regimes=regime_facts(evaluation),
        failure=one_line(failure.message, 300) if failure else "",
        error_signature=error_signature(evaluation),
        seconds=seconds["total"] if "total" in seconds else sum(seconds.values()),
        baseline_hash=evaluation.baseline_hash or "",
        clock=said,
        clock_reason=clock.reason if clock else "",
        trust=verification.trust,
        trust_words=verification.words,
    )


def _unverified_facts(evaluation: Evaluation, verification: Verification) -> CandidateFacts:
    """Facts of a record that does not count: what it says is told in words, and nowhere else."""
    said = f"it says {evaluation.status}"
    if (latency := ranked_latency_us(evaluation)) is not None:
        said += f", {number(latency)} us"
    return CandidateFacts(
        evaluation_id=evaluation.evaluation_id,
        content_hash=evaluation.content_hash,
        hardware=gpu_name(evaluation),
        scope=str(evaluation.scope),
        status=UNVERIFIED,
        stage=str(evaluation.stage),
        outcome=CandidateStatus.UNDECIDED,
        outcome_words=one_line(f"unverified: {verification.words}; {said}", 300),
        latency_us=None,
        speedup=None,
        noise=noise_level(evaluation, None),
        at=started_at(evaluation),
        trust=verification.trust,
        trust_words=verification.words,
    )


def ranked_latency_us(evaluation: Evaluation, workload_count: int = 0) -> float | None:
    """The latency a candidate is ranked by: the mean over all workloads, or its estimate.

    None when the record speaks only of some, a smoke test, or workloads left out by the budget, and
    of other inputs than those that rank. `workload_count` is the operator's; 0 when unknown.
    """
    return None if evaluation.input_family else mean_latency_us(evaluation, workload_count)


def mean_latency_us(evaluation: Evaluation, workload_count: int = 0) -> float | None:
    """The mean over all workloads, or its estimate, on whatever inputs; arguments as above."""
    totals = evaluation.totals
    if totals.not_run or evaluation.scope in (Scope.STATIC, Scope.SMOKE):
        return None
    if totals.estimated_full_mean_us is not None:
        return totals.estimated_full_mean_us
    return totals.mean_latency_us if len(evaluation.workloads) >= workload_count else None


def started_at(evaluation: Evaluation) -> int:
    """Seconds since the epoch at which the trial began.

    Raises:
        ArchiveError: when the record's time cannot be read.
    """
    try:
        moment = datetime.fromisoformat(evaluation.evidence.started_at)
    except ValueError as error:
        raise ArchiveError(
            f"The evaluation's start {evaluation.evidence.started_at!r} is no ISO 8601 time",
            where=f"evaluation {evaluation.evaluation_id}",
            remedy="Evaluate again; a record without a time is no evidence.",
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def gpu_name(evaluation: Evaluation) -> str:
    """The device as refs and leaderboards name it, e.g. "H200"; "cpu" without one."""
    device = evaluation.evidence.device
    on_gpu = device if device is not None and device.executor == "cuda" else None
    return gpu_label(on_gpu.name, evaluation.objective) if on_gpu else "cpu"


def gpu_label(device_name: str, objective: Objective = Objective.COLD) -> str:
    """A device as refs carry it, e.g. "H200", or "H200-by-sustained": with a best of its own."""
    label = "-".join(device_name.replace("NVIDIA", " ").split()) or "gpu"
    return label if objective is Objective.COLD else f"{label}-by-{objective}"


def noise_level(evaluation: Evaluation, latency_us: float | None) -> float:
    """The |ln ratio| that a comparison at this latency must exceed to mean anything."""
    return least_effect(latency_us, evaluation.evidence.noise_floor)


def _outcome(
    evaluation: Evaluation,
    latency: float | None,
    clock: str,
    noise: float,
    parents: Sequence[Node],
) -> tuple[CandidateStatus, str]:
    """The outcome, and in words what it was compared to.

    A paired comparison with the parent, when the record holds one, outranks two latencies of
    different evaluations, which are compared only when both are sealed or both claimed; without a
    comparable parent the record's baseline decides.
    """
    if (words := undecided_words(evaluation)) is not None:
        return CandidateStatus.UNDECIDED, words
    if evaluation.status is not Status.PASSED:
        failure = evaluation.failure
        words = f"{failure.stage}/{failure.kind}" if failure else str(evaluation.stage)
        return CandidateStatus.FAILED, f"{evaluation.status} ({words})"
    if (family := evaluation.input_family) and (mean := mean_latency_us(evaluation)) is not None:
        timed = f"{number(mean)} us {evaluation.sealing.source}" if evaluation.sealing else "timed"
        return CandidateStatus.UNCOMPARED, f"{timed} on inputs {family}, which do not rank"
    if latency is None:
        left = evaluation.totals.not_run
        # Records in which PASSED was said of a part of the workloads are of an earlier version.
        return (
            CandidateStatus.UNTIMED,
            f"passed, {counted(left, 'workload')} not run" if left else "passed, not timed",
        )
    hardware, operator = gpu_name(evaluation), evaluation.definition
    timed = [
        (p.latency_us, p)
        for p in parents
        if p.latency_us is not None and (p.hardware, p.definition) == (hardware, operator)
    ]
    paired = any(p.content_hash == evaluation.baseline_hash for _, p in timed)
    comparable = [(base, p) for base, p in timed if p.clock == clock]
    mark = f", {clock}" if clock == TimeSource.CLAIMED else ""
    if comparable and not paired:
        base, parent = min(comparable, key=lambda pair: pair[0])
        ratio = base / latency
        floor = max(noise, parent.noise, LEAST_EFFECT_ACROSS_EVALUATIONS)
        return _decide(ratio, ratio, ratio, floor, f"parent {parent.candidate_id}", mark)
    ratio = evaluation.totals.geometric_mean_ratio
    if ratio is None:
        return CandidateStatus.UNCOMPARED, "timed, compared with nothing"
    low, high = evaluation.totals.ratio_interval or (ratio, ratio)
    return _decide(ratio, low, high, noise, evaluation.baseline or "the baseline", mark)


_UNFAILED_RESULTS = (Status.PASSED, Status.NOT_RUN, Status.NOT_JUDGED)
_UNDECIDED_WORDS = {
    Status.COMPILED: "compiled, never run",
    Status.NOT_JUDGED: "this machine could not judge it",
    Status.INVALID_REFERENCE: "the definition or its data is at fault",
}


def undecided_words(evaluation: Evaluation) -> str | None:
    """Why the record decides nothing of its candidate, in words; None when it does."""
    status = evaluation.status
    if status is Status.PASSED and evaluation.scope is Scope.STATIC:
        status = Status.COMPILED  # as older records called it
    if status is Status.PARTIAL:
        return f"right as far as it ran: {evaluation.partial_reason}"
    if status not in UNDECIDED:
        return None
    return _UNDECIDED_WORDS.get(status, "the harness failed, not the candidate")


def _decide(
    ratio: float, low: float, high: float, floor: float, versus: str, mark: str
) -> tuple[CandidateStatus, str]:
    words = f"{number(ratio)}x {versus}, noise floor {floor:.1%}{mark}"
    if low > 1 and math.log(ratio) > floor:
        return CandidateStatus.FASTER, words
    if high < 1 and -math.log(ratio) > floor:
        return CandidateStatus.SLOWER, words
    return CandidateStatus.EQUAL, words


def error_signature(evaluation: Evaluation) -> str:
    """The failure without its numbers and names in quotes: equal for equal causes."""
    failure = evaluation.failure
    if failure is None:
        return ""
    words = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "_", failure.message)
    words = re.sub(r"0x[0-9a-fA-F]+|[-+]?\d[\d.,e+-]*|\bnan\b|\binf\b", "#", words)
    return one_line(f"{evaluation.status}/{failure.kind}: {words}", 240)


def regime_facts(evaluation: Evaluation) -> tuple[RegimeFact, ...]:
    """Mean latency and geometric mean ratio of each regime of the record, on inputs that rank."""
    groups: dict[str, list[WorkloadResult]] = {}
    for workload in evaluation.workloads:
        if workload.regime and not evaluation.input_family:
            groups.setdefault(workload.regime, []).append(workload)
    facts = []
    for name, members in groups.items():
        times = [w.latency_us for w in members if w.latency_us is not None]
        ratios = [r for w in members if w.comparison and (r := w.comparison.ratio) and r > 0]
        decisions = {w.comparison.decision for w in members if w.comparison}
        failed = any(w.status not in _UNFAILED_RESULTS for w in members)
        mean = sum(times) / len(times) if times else None
        ratio = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None
        facts.append(RegimeFact(name, mean, ratio, _regime_decision(failed, decisions)))
    return tuple(facts)


def _regime_decision(failed: bool, decisions: set[Decision]) -> str:
    if failed:
        return "failed"
    if Decision.SLOWER in decisions:
        return "mixed" if Decision.FASTER in decisions else "slower"
    if Decision.FASTER in decisions:
        return "faster"
    return "equal" if decisions else "untimed"


def number(value: float) -> str:
    """A figure as text, with four significant digits and no exponent."""
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.0f}" if value else "0"
