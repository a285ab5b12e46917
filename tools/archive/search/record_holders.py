"""Who is fastest at which size, and what choosing by size on the host would gain: the virtual best.

Host code can choose by the sizes of its tensors and by nothing else, so sizes are those of one
axis, the one by which choosing gains the most. Programs are compared on the workloads that both
were timed on. Where another program's lead over the best one is within the noise, the best keeps
the record: picking the least of many noisy times would promise a gain that is not there. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...devices.noise_floor import LEAST_EFFECT_ACROSS_EVALUATIONS
from ...schema.evaluation import Evaluation
from ..store.entry import Node

LEAST_GAIN = 0.01
"""Share of the whole that one more program must gain."""


@dataclass(frozen=True)
class CandidateTimes:
    """Latencies of one candidate in µs by workload, with what they weigh in its mean."""

    node: Node
    latencies_us: Mapping[str, float]
    weights: Mapping[str, float]
    axes: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Band:
    """Neighbouring sizes at which one candidate is the fastest.

    Attributes:
        latency_us: its mean there.
        best_us: that of the candidate which is the best over all sizes.
    """

    low: int
    high: int
    holder: Node
    latency_us: float
    best_us: float

    @property
    def words(self) -> str:
        """Its sizes in words."""
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


@dataclass(frozen=True)
class VirtualBest:
    """The holders of all records together, as a program that chooses by one axis would be.

    Attributes:
        best: the single fastest candidate.
        latency_us: the mean with the holder of each size; `best_us` with `best` alone.
    """

    axis: str
    best: Node
    bands: tuple[Band, ...]
    latency_us: float
    best_us: float

    @property
    def holders(self) -> tuple[Node, ...]:
        """Each holder once, the best first."""
        others = (band.holder for band in self.bands)
        found = {node.candidate_id: node for node in (self.best, *others)}
        held = {band.holder.candidate_id for band in self.bands}
        return tuple(node for name, node in found.items() if name in held)


def candidate_times(node: Node, evaluation: Evaluation) -> CandidateTimes | None:
    """The latencies of a candidate that ranks; None for any other."""
    timed = {w.uuid: w for w in evaluation.workloads if w.latency_us}
    if node.latency_us is None or not timed:
        return None
    known = [w.weight for w in timed.values() if w.weight is not None]
    whole = len(known) == len(timed) and sum(known) > 0
    even = 1 / len(timed)
    return CandidateTimes(
        node,
        {uuid: w.latency_us or 0.0 for uuid, w in timed.items()},
        {uuid: (w.weight or 0.0) if whole else even for uuid, w in timed.items()},
        {uuid: w.axes for uuid, w in timed.items()},
    )


def virtual_best(times: Sequence[CandidateTimes], most: int | None = None) -> VirtualBest | None:
    """The record holders on one device, by the axis where choosing gains the most.

    Args:
        times: of candidates of one operator on one device.
        most: candidates that may share the records; without a limit when None.

    Returns:
        None when nothing was timed. Claimed times count only while there are no sealed ones.
    """
    if not times:
        return None
    best = min(times, key=lambda t: t.node.rank)
    rivals = [t for t in times if t.node.clock == best.node.clock and t is not best]
    names = {name for axes in best.axes.values() for name in axes}
    varying = sorted(n for n in names if len({axes[n] for axes in best.axes.values()}) > 1)
    found = [_by_axis(axis, best, rivals, most) for axis in varying or sorted(names)[:1]]
    return min(found, key=lambda v: (v.latency_us, len(v.bands)), default=None)


@dataclass(frozen=True)
class _Size:
    """One size of the axis: the best's workloads there, their weight and its mean."""

    value: int
    uuids: tuple[str, ...]
    weight: float
    best_us: float


def _by_axis(
    axis: str, best: CandidateTimes, rivals: Sequence[CandidateTimes], most: int | None
) -> VirtualBest:
    sizes = _sizes(axis, best)
    ratios = {r.node.candidate_id: [_ratio(r, best, size) for size in sizes] for r in rivals}
    nodes = {t.node.candidate_id: t.node for t in (best, *rivals)}
    chosen: list[str] = []
    total = _total(sizes, ratios, chosen)
    while ratios and (most is None or len(chosen) < most - 1):
        rival = min(ratios, key=lambda name: _total(sizes, ratios, [*chosen, name]))
        lower = _total(sizes, ratios, [*chosen, rival])
        if lower > total * (1 - LEAST_GAIN):
            break
        chosen, total = [*chosen, rival], lower
    bands: list[Band] = []
    for position, size in enumerate(sizes):
        holder, ratio = _holder(position, ratios, chosen)
        node = nodes[holder] if holder else best.node
        bands.append(Band(size.value, size.value, node, size.best_us * ratio, size.best_us))
    weighed = [size.weight for size in sizes]
    return VirtualBest(
        axis, best.node, _merged(bands, weighed), total, sum(s.weight * s.best_us for s in sizes)
    )


def _sizes(axis: str, best: CandidateTimes) -> list[_Size]:
    groups: dict[int, list[str]] = {}
    for uuid, axes in best.axes.items():
        groups.setdefault(axes[axis], []).append(uuid)
    found = []
    for value, uuids in sorted(groups.items()):
        weight = sum(best.weights[uuid] for uuid in uuids)
        parts = [best.weights[uuid] or 1e-9 for uuid in uuids]
        mean = _mean([best.latencies_us[uuid] for uuid in uuids], parts)
        found.append(_Size(value, tuple(uuids), weight, mean))
    return found


def _ratio(rival: CandidateTimes, best: CandidateTimes, size: _Size) -> float:
    """Rival over best on what both were timed on at a size; 1 without a lead beyond the noise."""
    common = [uuid for uuid in size.uuids if uuid in rival.latencies_us]
    if not common:
        return 1.0
    theirs = sum(rival.latencies_us[uuid] for uuid in common)
    ratio = theirs / sum(best.latencies_us[uuid] for uuid in common)
    margin = max(LEAST_EFFECT_ACROSS_EVALUATIONS, rival.node.noise, best.node.noise)
    return ratio if -math.log(ratio) > margin else 1.0


def _holder(
    position: int, ratios: Mapping[str, Sequence[float]], chosen: Sequence[str]
) -> tuple[str | None, float]:
    faster = [(ratios[name][position], name) for name in chosen if ratios[name][position] < 1]
    return (min(faster)[1], min(faster)[0]) if faster else (None, 1.0)


def _total(
    sizes: Sequence[_Size], ratios: Mapping[str, Sequence[float]], chosen: Sequence[str]
) -> float:
    return sum(
        size.weight * size.best_us * _holder(position, ratios, chosen)[1]
        for position, size in enumerate(sizes)
    )


def _merged(bands: Sequence[Band], weights: Sequence[float]) -> tuple[Band, ...]:
    """Neighbours of one holder as one band, with their weighted means."""
    groups: list[list[tuple[Band, float]]] = []
    for band, weight in zip(bands, weights, strict=True):
        same = groups and groups[-1][-1][0].holder.candidate_id == band.holder.candidate_id
        if same:
            groups[-1].append((band, weight or 1e-9))
        else:
            groups.append([(band, weight or 1e-9)])
    return tuple(
        Band(
            group[0][0].low,
            group[-1][0].high,
            group[0][0].holder,
            _mean([band.latency_us for band, _ in group], [weight for _, weight in group]),
            _mean([band.best_us for band, _ in group], [weight for _, weight in group]),
        )
        for group in groups
    )


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
