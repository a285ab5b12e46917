"""One candidate's plots for its page, over axes that its operator's pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ..store.entry import Node
from ..store.manifest import CandidateRecord, number
from .plots import Frame, PlotPoint, Roof, floor_frame, floor_points, roofline_frame

if TYPE_CHECKING:
    from ...devices.roofline import Cost, Hardware
    from ...workloads.dataset import Dataset


class Drawings:
    """Draws candidates; each operator's axes on each device are drawn once.

    Args:
        nodes: all candidates of the site, for the limits of the axes.
        dataset: the operators whose work is known; None: no rooflines.
    """

    def __init__(self, nodes: Sequence[Node], dataset: Dataset | None) -> None:
        self._dataset = dataset
        self._frames: dict[tuple[str, str, str], Frame] = {}
        self._costs: dict[str, Mapping[str, Cost]] = {}
        self._latencies: dict[tuple[str, str], list[float]] = {}
        for node in nodes:
            if node.latency_us:
                key = (node.definition, node.hardware)
                self._latencies.setdefault(key, []).append(node.latency_us)

    def of(self, node: Node, record: CandidateRecord) -> list[tuple[str, str]]:
        """Title and SVG of what can be drawn: nothing for a candidate without a latency."""
        if node.latency_us is None:
            return []
        found = [
            ("Latency against floor", self._floor(node, record)),
            ("Roofline", self._roofline(node, record)),
        ]
        return [(title, svg) for title, svg in found if svg]

    def _floor(self, node: Node, record: CandidateRecord) -> str | None:
        floors = {name for w in record.evaluation.workloads for name in w.floors_us}
        device = "device" if "device" in floors else node.hardware
        points = floor_points(record.evaluation, device)
        if not points:
            return None
        key = ("floor", node.definition, node.hardware)
        if key not in self._frames:
            self._frames[key] = floor_frame(self._spread(points, node, up=True), node.hardware)
        return self._frames[key].with_points(points)

    def _roofline(self, node: Node, record: CandidateRecord) -> str | None:
        hardware = _hardware(record)
        if hardware is None or self._dataset is None:
            return None
        if node.definition not in self._dataset.operators:
            return None
        points = roofline_points(record, self._cost(node.definition, self._dataset))
        if not points:
            return None
        key = ("roof", node.definition, node.hardware)
        if key not in self._frames:
            used = {n for cost in self._costs[node.definition].values() for n in cost.flops}
            peaks = {name: rate.value for name, rate in hardware.flops.items() if name in used}
            roof = Roof(hardware.name, hardware.memory_bytes_per_s.value, peaks)
            self._frames[key] = roofline_frame(self._spread(points, node, up=False), roof)
        return self._frames[key].with_points(points)

    def _cost(self, definition: str, dataset: Dataset) -> Mapping[str, Cost]:
        if definition not in self._costs:
            operator = dataset.operators[definition]
            self._costs[definition] = {
                w.uuid: operator.cost(w.axes, structure=operator.structure.get(w.uuid))
                for w in operator.workloads
            }
        return self._costs[definition]

    def _spread(self, points: Sequence[PlotPoint], node: Node, *, up: bool) -> list[PlotPoint]:
        """The points as the operator's fastest and slowest candidates would have them."""
        latencies = self._latencies[(node.definition, node.hardware)]
        own = node.latency_us or latencies[0]
        scales = [min(latencies) / own, max(latencies) / own]
        return [
            PlotPoint(p.x, p.y * scale if up else p.y / scale, "")
            for p in points
            for scale in scales
        ]


def roofline_points(record: CandidateRecord, costs: Mapping[str, Cost]) -> list[PlotPoint]:
    """Operations per byte and per second of each timed workload whose cost is known."""
    points = []
    for workload in record.evaluation.workloads:
        cost = costs.get(workload.uuid)
        if cost is None or not workload.latency_us or not cost.bytes_moved:
            continue
        operations = sum(cost.flops.values())
        if operations:
            speed = operations / workload.latency_us * 1e6
            axes = " ".join(f"{k}={v}" for k, v in workload.axes.items())
            label = f"{axes}: {number(speed / 1e12)} T/s at {number(workload.latency_us)} us"
            points.append(PlotPoint(operations / cost.bytes_moved, speed, label))
    return points


def _hardware(record: CandidateRecord) -> Hardware | None:
    device = record.evaluation.evidence.device
    return _identified(device.name, device.sm_count) if device else None


@lru_cache(maxsize=64)
def _identified(name: str, sm_count: int | None) -> Hardware | None:
    from ...devices.roofline import identify

    return identify(name, sm_count, None)
