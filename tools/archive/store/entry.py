"""A candidate in one line: the facts that selection, search and advice decide on.

Pure. Everything is derived from the record; the index stores it so that nobody reads ten thousand
commits to choose a parent. An infrastructure fault leaves a candidate UNDECIDED: it is never held
against the kernel.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ...schema.evaluation import Decision, Evaluation, Status
from .manifest import CandidateManifest, gpu_name, number, one_line, ranked_latency_us, started_at

DEFAULT_NOISE = 0.02
"""|ln ratio| that latencies of two evaluations must exceed; paired ones may need less."""
LEAST_NOISE = 0.01


class CandidateStatus(StrEnum):
    """What became of a candidate, compared with its best parent, or with the baseline at a root."""

    FAILED = "failed"
    SLOWER = "slower"
    EQUAL = "equal"
    FASTER = "faster"
    UNTIMED = "untimed"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class RegimeFact:
    """One regime of one candidate: mean latency and geometric mean ratio to its baseline."""

    name: str
    latency_us: float | None
    ratio: float | None
    decision: str


@dataclass(frozen=True)
class Node:
    """One candidate of the search tree.

    Attributes:
        hardware: device as in refs, "cpu" without one.
        latency_us: what it ranks by; None when untimed or failed.
        noise: |ln ratio| below which two latencies are the same.
        outcome_words: the outcome with its numbers and what it was compared to.
        seconds: wall time that its evaluation took.
    """

    candidate_id: str
    commit: str
    ref: str
    parents: tuple[str, ...]
    definition: str
    op_type: str
    name: str
    language: str
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
    evaluation_id: str
    content_hash: str
    normalised_hash: str
    technique: tuple[str, ...] = ()
    regimes: tuple[RegimeFact, ...] = ()
    bottlenecks: tuple[str, ...] = ()
    failure: str = ""
    error_signature: str = ""
    hypothesis: str = ""
    lesson: str = ""
    seconds: float = 0.0
    baseline_hash: str = field(default="")

    @property
    def decision(self) -> str:
        """What became of it, with the number and what it was compared to."""
        return f"{self.outcome}: {self.outcome_words}"

    @property
    def passed(self) -> bool:
        """Whether every workload that ran was right."""
        return self.status == Status.PASSED


def noise_floor(evaluation: Evaluation, latency_us: float | None) -> float:
    """The |ln ratio| that a paired comparison of this duration must exceed to mean anything.

    Three times the recorded floor of the latency's decade of microseconds ('0' is 1-10 µs), never
    below one percent, as paired comparisons are decided; `DEFAULT_NOISE` when none was recorded.
    """
    recorded = evaluation.evidence.noise_floor or {}
    table = {int(k): float(v) for k, v in recorded.items() if k.isdigit() and _is_share(v)}
    if not table:
        return DEFAULT_NOISE
    decade = math.floor(math.log10(max(latency_us or 1.0, 1.0)))
    nearest = min(table, key=lambda known: abs(known - decade))
    return max(LEAST_NOISE, 3 * table[nearest])


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < 1


def error_signature(evaluation: Evaluation) -> str:
    """The failure without its numbers and names in quotes: equal for equal causes."""
    failure = evaluation.failure
    if failure is None:
        return ""
    words = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "_", failure.message)
    words = re.sub(r"0x[0-9a-fA-F]+|[-+]?\d[\d.,e+-]*|\bnan\b|\binf\b", "#", words)
    return one_line(f"{evaluation.status}/{failure.kind}: {words}", 240)


def regime_facts(evaluation: Evaluation) -> tuple[RegimeFact, ...]:
    """Mean latency and geometric mean ratio of each regime of the record."""
    groups: dict[str, list[Any]] = {}
    for workload in evaluation.workloads:
        if workload.regime:
            groups.setdefault(workload.regime, []).append(workload)
    facts = []
    for name, members in groups.items():
        times = [w.latency_us for w in members if w.latency_us is not None]
        ratios = [w.comparison.ratio for w in members if w.comparison and w.comparison.ratio]
        decisions = {w.comparison.decision for w in members if w.comparison}
        failed = any(w.status not in (Status.PASSED, Status.NOT_RUN) for w in members)
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


def profile_bottlenecks(profiles: Mapping[str, bytes]) -> tuple[str, ...]:
    """Bottleneck classes that JSON profiles name under a key "bottleneck"."""
    found: list[str] = []
    for name, content in profiles.items():
        if name.endswith(".json"):
            try:
                found += _bottlenecks(json.loads(content))
            except (ValueError, RecursionError):
                continue
    return tuple(dict.fromkeys(found))


def _bottlenecks(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _bottlenecks(item)]
    if not isinstance(value, dict):
        return []
    found: list[str] = []
    for key, inner in value.items():
        if key == "bottleneck" and isinstance(inner, dict):
            inner = inner.get("kind") or inner.get("name") or inner.get("class")
        if key == "bottleneck" and isinstance(inner, str):
            found.append(one_line(inner, 60).lower().replace("_", " "))
        else:
            found += _bottlenecks(inner)
    return found


def compare_outcome(
    evaluation: Evaluation, latency: float | None, noise: float, parents: Sequence[Node]
) -> tuple[CandidateStatus, str]:
    """Says what became of a candidate and against what.

    A paired comparison with the parent, when the record holds one, outranks two latencies of
    different evaluations; without a comparable parent the record's baseline decides.

    Args:
        latency: what it ranks by, in microseconds.
        noise: |ln ratio| that a paired comparison must exceed.
    """
    if evaluation.status is Status.INFRASTRUCTURE_ERROR:
        return CandidateStatus.UNDECIDED, "the harness failed, not the candidate"
    if evaluation.status is not Status.PASSED:
        failure = evaluation.failure
        words = f"{failure.stage}/{failure.kind}" if failure else str(evaluation.stage)
        return CandidateStatus.FAILED, f"{evaluation.status} ({words})"
    if latency is None:
        left = evaluation.totals.not_run
        return (
            CandidateStatus.UNTIMED,
            f"passed, {left} workloads not run" if left else "passed, not timed",
        )
    hardware, operator = gpu_name(evaluation), evaluation.definition
    timed = [
        (p.latency_us, p)
        for p in parents
        if p.latency_us is not None and (p.hardware, p.definition) == (hardware, operator)
    ]
    paired = any(p.content_hash == evaluation.baseline_hash for _, p in timed)
    if timed and not paired:
        base, parent = min(timed, key=lambda pair: pair[0])
        ratio, floor = base / latency, max(noise, parent.noise, DEFAULT_NOISE)
        return _decide(ratio, ratio, ratio, floor, f"parent {parent.candidate_id}")
    ratio = evaluation.totals.geometric_mean_ratio
    if ratio is None:
        return CandidateStatus.UNTIMED, "timed, compared with nothing"
    low, high = evaluation.totals.ratio_interval or (ratio, ratio)
    return _decide(ratio, low, high, noise, evaluation.baseline or "the baseline")


def _decide(
    ratio: float, low: float, high: float, floor: float, versus: str
) -> tuple[CandidateStatus, str]:
    words = f"{number(ratio)}x {versus}, noise floor {floor:.1%}"
    if low > 1 and math.log(ratio) > floor:
        return CandidateStatus.FASTER, words
    if high < 1 and -math.log(ratio) > floor:
        return CandidateStatus.SLOWER, words
    return CandidateStatus.EQUAL, words


def node_of(
    *,
    commit: str,
    ref: str,
    candidate: CandidateManifest,
    evaluation: Evaluation,
    parents: Sequence[str],
    parent_nodes: Sequence[Node] = (),
    profiles: Mapping[str, bytes] | None = None,
) -> Node:
    """Builds the line of one candidate from its record.

    Args:
        parents: ids of all parents; `parent_nodes` holds those that could be read.
    """
    latency = ranked_latency_us(evaluation, candidate.workload_count)
    noise = noise_floor(evaluation, latency)
    outcome, words = compare_outcome(evaluation, latency, noise, parent_nodes)
    failure = evaluation.failure
    return Node(
        candidate_id=ref.rsplit("/", 1)[-1],
        commit=commit,
        ref=ref,
        parents=tuple(parents),
        definition=candidate.definition,
        op_type=candidate.op_type,
        name=candidate.name,
        language=candidate.language,
        hardware=gpu_name(evaluation),
        scope=str(evaluation.scope),
        status=str(evaluation.status),
        stage=str(evaluation.stage),
        outcome=outcome,
        outcome_words=words,
        latency_us=latency,
        speedup=evaluation.totals.geometric_mean_ratio,
        noise=noise,
        at=started_at(evaluation),
        evaluation_id=evaluation.evaluation_id,
        content_hash=candidate.content_hash,
        normalised_hash=candidate.normalised_hash,
        technique=tuple(candidate.technique),
        regimes=regime_facts(evaluation),
        bottlenecks=profile_bottlenecks(profiles or {}),
        failure=one_line(failure.message, 300) if failure else "",
        error_signature=error_signature(evaluation),
        hypothesis=one_line(candidate.hypothesis, 300),
        lesson=one_line(candidate.lesson, 400),
        seconds=_wall_seconds(evaluation),
        baseline_hash=evaluation.baseline_hash or "",
    )


def _wall_seconds(evaluation: Evaluation) -> float:
    parts = evaluation.evidence.seconds
    return parts["total"] if "total" in parts else sum(parts.values())
