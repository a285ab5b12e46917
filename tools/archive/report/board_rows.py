"""Rows of a board: candidates, and between them what others wrote: reference, baseline and peers.

What others wrote was timed as a candidate, or beside one, as its baseline. Its mean weighs the
workloads as the candidates' means do; of several trials the median counts. Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ...schema.evaluation import Evaluation, WorkloadResult
from ..store.entry import Node
from .page_data import Board

if TYPE_CHECKING:
    from ...workloads.operators import Operator
    from ..store.archive import Archive

MOST_READ = 60
"""Newest candidates whose records are read where pages are not written for all of them."""
MOST_COLUMNS = 4
"""Programs of others that every row is compared with; the fastest of them where there are more."""


class Origin(StrEnum):
    """Who wrote a program that is no candidate of a search, in the order of columns."""

    REFERENCE = "reference"
    BASELINE = "baseline"
    PEER = "peer"
    SHIPPED = "shipped"


@dataclass(frozen=True)
class OtherProgram:
    """A program that is no candidate of a search, with its latency on one device."""

    name: str
    origin: Origin
    latency_us: float
    trials: int


@dataclass(frozen=True)
class Row:
    """One line of a board.

    Attributes:
        place: of a candidate; None for what others wrote.
        other: what others wrote; of a candidate, which of those it is, byte for byte.
        over: how many times faster than each column's program.
    """

    latency_us: float
    place: int | None
    node: Node | None
    other: OtherProgram | None
    over: Mapping[str, float]


def known_programs(operator: Operator | None) -> dict[str, tuple[str, Origin]]:
    """Name and origin of each program that comes with an operator, by content hash."""
    if operator is None:
        return {}
    found: dict[str, tuple[str, Origin]] = {}
    for origin, programs in (
        (Origin.SHIPPED, operator.solutions()),
        (Origin.PEER, operator.peers()),
        (Origin.REFERENCE, {"PyTorch reference": operator.reference()}),
    ):
        found |= {solution.content_hash(): (name, origin) for name, solution in programs.items()}
    if (baseline := operator.baseline()) is not None:
        content = baseline.content_hash()
        found[content] = (found.get(content, (baseline.name, origin))[0], Origin.BASELINE)
    return found


@dataclass
class OtherTimes:
    """Latencies of what others wrote on one device, gathered from an operator's records.

    Args:
        known: name and origin by content hash; a baseline that is not among them keeps the name
            that its records give it.
        found: latencies of all trials.
        sealed: those of sealed trials, which alone count where there are any: claimed times hold
            the gaps of the host.
    """

    known: Mapping[str, tuple[str, Origin]]
    found: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    names: dict[str, tuple[str, Origin]] = field(default_factory=dict[str, tuple[str, Origin]])
    sealed: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def gather(self, node: Node, evaluation: Evaluation, candidates: Container[str] = ()) -> None:
        """Adds what a candidate's record holds of others, on the inputs that rank.

        Args:
            candidates: content hashes that are candidates, and so have rows of their own.
        """
        if evaluation.input_family:
            return
        if node.latency_us is not None and node.content_hash in self.known:
            named = self.known[node.content_hash]
            self._add(node.content_hash, node.latency_us, named, sealed=node.sealed)
        content = evaluation.baseline_hash
        mean = _baseline_mean(evaluation)
        if content and mean and (content in self.known or content not in candidates):
            named = (evaluation.baseline or "baseline", Origin.BASELINE)
            self._add(content, mean, self.known.get(content, named), sealed=node.sealed)

    def programs(self) -> list[OtherProgram]:
        """What others wrote, reference first, then baselines and peers, each by latency."""
        found = [other for content in self.found if (other := self.of(content)) is not None]
        order = list(Origin)
        return sorted(found, key=lambda o: (order.index(o.origin), o.latency_us))

    def of(self, content_hash: str) -> OtherProgram | None:
        """What others wrote with this content."""
        if content_hash not in self.found:
            return None
        times = self.sealed.get(content_hash) or self.found[content_hash]
        return OtherProgram(*self.names[content_hash], statistics.median(times), len(times))

    def _add(
        self, content: str, latency_us: float, named: tuple[str, Origin], *, sealed: bool
    ) -> None:
        self.names[content] = named
        self.found.setdefault(content, []).append(latency_us)
        if sealed:
            self.sealed.setdefault(content, []).append(latency_us)


def others_on(archive: Archive, board: Board, operator: Operator | None) -> OtherTimes:
    """What others wrote, as the newest records of a board's candidates have it."""
    others = OtherTimes(known_programs(operator))
    contents = {node.content_hash for node in board.rows}
    for node in sorted(board.rows, key=lambda node: node.at)[-MOST_READ:]:
        others.gather(node, archive.read(node).evaluation, contents)
    return others


def mean_over_workloads(
    evaluation: Evaluation, value: Callable[[WorkloadResult], float | None]
) -> float | None:
    """A value's mean, weighed as the candidate's latency is; None where a workload has no such."""
    values = [value(result) for result in evaluation.workloads]
    known = [one for one in values if one is not None]
    if not known or len(known) < len(values):
        return None
    weights = [result.weight or 1.0 / len(known) for result in evaluation.workloads]
    return sum(one * weight for one, weight in zip(known, weights, strict=True))


def own_kernels_us(result: WorkloadResult) -> float | None:
    """What kernels that are neither PyTorch's nor copies take of a call."""
    return result.measurement.own_kernels_us if result.measurement is not None else None


def largest_error(evaluation: Evaluation) -> float | None:
    """The norm of the error over that of the oracle's output, the largest of all outputs."""
    errors = (e.rms_relative for result in evaluation.workloads for e in result.errors)
    return max((error for error in errors if error is not None), default=None)


def _baseline_mean(evaluation: Evaluation) -> float | None:
    """The baseline's mean, weighed as the candidate's is; None where it was not timed on all."""
    results = [w for w in evaluation.workloads if w.latency_us is not None]
    times = [w.baseline_latency_us for w in results if w.baseline_latency_us is not None]
    if not times or len(times) != len(evaluation.workloads):
        return None
    weights = [w.weight for w in results if w.weight is not None]
    if len(weights) == len(times) and sum(weights) > 0:
        return sum(t * w for t, w in zip(times, weights, strict=True))
    return statistics.fmean(times)


def columns(programs: Sequence[OtherProgram]) -> list[OtherProgram]:
    """The programs that every row is compared with: by others, not shipped from a search."""
    first = [p for p in programs if p.origin in (Origin.REFERENCE, Origin.BASELINE)]
    return [*first, *(p for p in programs if p.origin is Origin.PEER)][:MOST_COLUMNS]


def rows(board: Board, others: OtherTimes, limit: int) -> list[Row]:
    """The board's first candidates, and what others wrote at the places of its latencies.

    Claimed latencies stand below sealed ones, as on the board; others' rows are placed among the
    sealed ones.
    """
    programs = others.programs()
    compared = columns(programs)
    nodes = [
        _row(place, node, others.of(node.content_hash), compared)
        for place, node in enumerate(board.rows[:limit], 1)
    ]
    shown = {row.node.content_hash for row in nodes if row.node}
    lines = [
        Row(p.latency_us, None, None, p, _over(p.latency_us, compared))
        for content, p in ((c, others.of(c)) for c in others.found)
        if p is not None and content not in shown
    ]
    ranked = [row for row in nodes if row.node and row.node.sealed] or nodes
    for line in sorted(lines, key=lambda line: line.latency_us):
        slower = (n for n, row in enumerate(ranked) if row.latency_us > line.latency_us)
        ranked.insert(next(slower, len(ranked)), line)
    return ranked if ranked is nodes else [*ranked, *nodes[_sealed_count(nodes) :]]


def _sealed_count(nodes: Sequence[Row]) -> int:
    return sum(row.node is not None and row.node.sealed for row in nodes)


def _row(
    place: int, node: Node, other: OtherProgram | None, compared: Sequence[OtherProgram]
) -> Row:
    latency = node.latency_us or 0.0
    return Row(latency, place, node, other, _over(latency, compared))


def _over(latency_us: float, compared: Sequence[OtherProgram]) -> dict[str, float]:
    return {p.name: p.latency_us / latency_us for p in compared if latency_us}
