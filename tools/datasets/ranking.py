"""How solutions and their authors rank by the traces of a dataset, as FlashInfer-Bench ranks them.

A solution's score on a definition is the mean over its workloads of the baseline's lowest latency
over its own lowest; a solution with any failed trace scores 0. The baseline is the one solution
whose author is 'baseline'; without one, the reference's latency that stands in the traces is taken.
An author's score is the mean over definitions of the best of the author's solutions. Pure.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import unknown_name
from ..schema.flashinfer_trace import EvaluationStatus, Performance, Trace
from ..workloads.operators import BASELINE_AUTHOR
from .trace_set import TraceSet

UNKNOWN_AUTHOR = "unknown"
"""Of solutions that traces name and no file holds."""
LEVELS = (0.5, 0.8, 1.0, 1.5, 2.0)
"""Speed-ups for which the share of workloads that exceed them is given: fast_p."""


@dataclass(frozen=True)
class SolutionRank:
    """One solution on one definition.

    Args:
        score: mean speed-up over its workloads; 0 when a trace of it failed, None when nothing is
            known to compare with.
        speedups: by workload.
        latency_ms: by workload, the lowest of its passes.
    """

    definition: str
    solution: str
    author: str
    score: float | None
    passed: int
    failed: int
    statuses: Mapping[str, int]
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    speedups: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean_latency_ms(self) -> float | None:
        """Mean of its lowest latencies; None when nothing was timed."""
        return statistics.fmean(self.latency_ms.values()) if self.latency_ms else None


@dataclass(frozen=True)
class BestTrace:
    """The fastest right program on one workload.

    Args:
        speedup: as its trace states it, over the reference; None where it states none.
    """

    definition: str
    workload: str
    axes: Mapping[str, int]
    solution: str
    latency_ms: float
    speedup: float | None
    max_absolute_error: float
    max_relative_error: float


@dataclass(frozen=True)
class AuthorRank:
    """All solutions of one author.

    Args:
        score: mean over definitions of the author's best score.
        wins: definitions on which the author's best is the best of all.
        speedups: of the author's best solutions, on every workload that they were timed on.
        workloads: how many there are, those included on which none was timed.
    """

    author: str
    score: float | None
    definitions: int
    wins: int
    passed: int
    failed: int
    speedups: tuple[float, ...]
    workloads: int

    def faster_than(self, ratio: float) -> float:
        """The share of workloads on which the author's best is faster than that: fast_p."""
        return sum(s > ratio for s in self.speedups) / self.workloads if self.workloads else 0.0

    @property
    def success_rate(self) -> float | None:
        """Share of the author's traces that passed."""
        total = self.passed + self.failed
        return self.passed / total if total else None


@dataclass(frozen=True)
class TraceRow:
    """One trace: what became of a solution on a workload.

    Args:
        latency_ms, speedup: of a pass that was timed; the speed-up as the trace states it.
        max_absolute_error: None where none was measured.
    """

    definition: str
    workload: str
    solution: str
    status: EvaluationStatus
    latency_ms: float | None
    speedup: float | None
    max_absolute_error: float | None


@dataclass(frozen=True)
class TraceSummary:
    """What the traces of a dataset amount to.

    Args:
        latencies_ms: of all passes.
    """

    definitions: int
    workloads: int
    solutions: int
    statuses: Mapping[str, int]
    latencies_ms: Sequence[float]

    @property
    def total(self) -> int:
        """How many traces there are."""
        return sum(self.statuses.values())

    @property
    def passed(self) -> int:
        """How many of them passed."""
        return self.statuses.get(EvaluationStatus.PASSED, 0)


@dataclass(frozen=True)
class Ranking:
    """The report of a dataset: totals, authors, solutions, the fastest on each workload, traces."""

    summary: TraceSummary
    authors: tuple[AuthorRank, ...]
    solutions: tuple[SolutionRank, ...]
    best: tuple[BestTrace, ...]
    traces: tuple[TraceRow, ...]


def rank(
    found: TraceSet,
    *,
    definitions: Sequence[str] = (),
    max_absolute_error: float | None = None,
    max_relative_error: float | None = None,
) -> Ranking:
    """Ranks what the traces of a dataset tell.

    Args:
        definitions: names; all of them when empty.
        max_absolute_error, max_relative_error: passes with larger errors count for nothing among
            the best; None: the verdict decides.

    Raises:
        RequestError: when a name is none of the dataset's.
    """
    known = dict.fromkeys([*found.by_name, *(p.value.definition for p in found.traces)])
    for name in definitions:
        if name not in known:
            raise unknown_name("definition", name, known)
    names = list(definitions) or list(known)
    chosen = set(names)
    solutions = [r for name in names for r in _solution_ranks(found, name)]
    limits = (max_absolute_error, max_relative_error)
    best = [b for name in names for b in _best_traces(found.traces_of(name), *limits)]
    judged = [p.value for p in found.traces if p.value.definition in chosen]
    summary = TraceSummary(
        len(chosen & set(found.by_name)),
        sum(len(found.workloads_of(name)) for name in names),
        sum(p.value.definition in chosen for p in found.solutions),
        Counter(t.evaluation.status for t in judged if t.evaluation),
        [performance.latency_ms for t in judged if (performance := _timed(t))],
    )
    rows = tuple(row for t in judged if (row := _row(t)))
    return Ranking(summary, tuple(_author_ranks(solutions)), tuple(solutions), tuple(best), rows)


def _row(trace: Trace) -> TraceRow | None:
    judged, performance = trace.evaluation, _timed(trace)
    if judged is None:
        return None
    return TraceRow(
        trace.definition,
        trace.workload.uuid,
        trace.solution or "",
        judged.status,
        performance.latency_ms if performance else None,
        (performance.speedup_factor or None) if performance else None,
        judged.correctness.max_absolute_error if judged.correctness else None,
    )


def _solution_ranks(found: TraceSet, definition: str) -> list[SolutionRank]:
    """The solutions of a definition that have traces, the best first."""
    authors = {name: s.author for name, s in found.solutions_by_name.items()}
    by_solution: dict[str, list[Trace]] = {}
    for trace in found.traces_of(definition):
        if trace.solution is not None and trace.evaluation is not None:
            by_solution.setdefault(trace.solution, []).append(trace)
    baseline = found.baseline_of(definition)
    own = lowest_latencies(by_solution.get(baseline.name, [])) if baseline else {}
    ranks = [
        _solution_rank(definition, name, authors.get(name, UNKNOWN_AUTHOR), traces, own)
        for name, traces in by_solution.items()
    ]
    return sorted(ranks, key=lambda r: -1.0 if r.score is None else r.score, reverse=True)


def _solution_rank(
    definition: str,
    name: str,
    author: str,
    traces: Sequence[Trace],
    baseline_ms: Mapping[str, float],
) -> SolutionRank:
    statuses = Counter(str(t.evaluation.status) for t in traces if t.evaluation)
    latencies = lowest_latencies(traces)
    over = baseline_ms or _reference_latencies(traces)
    speedups = {u: over[u] / ms for u, ms in latencies.items() if over.get(u) and ms > 0}
    failed = statuses.total() - statuses[EvaluationStatus.PASSED]
    score = statistics.fmean(speedups.values()) if speedups else None
    return SolutionRank(
        definition,
        name,
        author,
        0.0 if failed else score,
        statuses[EvaluationStatus.PASSED],
        failed,
        statuses,
        latencies,
        speedups,
    )


def lowest_latencies(traces: Iterable[Trace]) -> dict[str, float]:
    """By workload, the lowest latency of passes that were timed, in milliseconds."""
    found: dict[str, float] = {}
    for trace in traces:
        if (performance := _timed(trace)) is not None:
            uuid = trace.workload.uuid
            found[uuid] = min(performance.latency_ms, found.get(uuid, performance.latency_ms))
    return found


def _reference_latencies(traces: Iterable[Trace]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for trace in traces:
        performance = _timed(trace)
        if performance is not None and performance.reference_latency_ms > 0:
            found.setdefault(trace.workload.uuid, []).append(performance.reference_latency_ms)
    return {uuid: statistics.median(known) for uuid, known in found.items()}


def _timed(trace: Trace) -> Performance | None:
    """The times of a pass that has some."""
    performance = trace.evaluation.performance if trace.evaluation else None
    return performance if performance is not None and performance.latency_ms > 0 else None


def _best_traces(
    traces: Iterable[Trace], max_absolute: float | None, max_relative: float | None
) -> list[BestTrace]:
    """The fastest pass on each workload of a definition, in the order of their first traces."""
    found: dict[str, BestTrace] = {}
    for trace in traces:
        performance = _timed(trace)
        judged = trace.evaluation
        if performance is None or judged is None or judged.correctness is None:
            continue
        errors = judged.correctness
        # Written so that NaN, an error that was not measured, exceeds any bound.
        if max_absolute is not None and not errors.max_absolute_error <= max_absolute:
            continue
        if max_relative is not None and not errors.max_relative_error <= max_relative:
            continue
        uuid = trace.workload.uuid
        earlier = found.get(uuid)
        if earlier is None or performance.latency_ms < earlier.latency_ms:
            found[uuid] = BestTrace(
                trace.definition,
                uuid,
                dict(trace.workload.axes),
                trace.solution or "",
                performance.latency_ms,
                performance.speedup_factor or None,
                errors.max_absolute_error,
                errors.max_relative_error,
            )
    return list(found.values())


def _author_ranks(solutions: Sequence[SolutionRank]) -> list[AuthorRank]:
    by_author: dict[str, list[SolutionRank]] = {}
    top: dict[str, float] = {}
    for found in solutions:
        by_author.setdefault(found.author, []).append(found)
        if found.score and found.author != BASELINE_AUTHOR:
            top[found.definition] = max(found.score, top.get(found.definition, 0.0))
    ranks = [_author_rank(author, own, top) for author, own in by_author.items()]
    return sorted(ranks, key=lambda r: -1.0 if r.score is None else r.score, reverse=True)


def _author_rank(author: str, own: Sequence[SolutionRank], top: Mapping[str, float]) -> AuthorRank:
    best: dict[str, SolutionRank] = {}
    for found in own:
        earlier = best.get(found.definition)
        if earlier is None or (found.score or 0.0) > (earlier.score or 0.0):
            best[found.definition] = found
    scores = [found.score for found in best.values() if found.score is not None]
    speedups = [s for found in best.values() if found.score for s in found.speedups.values()]
    workloads = sum(max(len(found.latency_ms), 1) for found in best.values())
    return AuthorRank(
        author,
        statistics.fmean(scores) if scores else None,
        len(best),
        sum(bool(f.score) and f.score == top.get(name) for name, f in best.items()),
        sum(found.passed for found in own),
        sum(found.failed for found in own),
        tuple(speedups),
        workloads,
    )
