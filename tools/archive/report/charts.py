"""Charts of candidates: latency against floors, and rooflines, as SVG for pages and PNG for tools.

Chooses points and axes and has `plots` draw them; nothing is drawn that was not measured. Imported
only when a chart is asked for, since drawing needs a large library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ...errors import RequestError
from ...schema.evaluation import Evaluation
from ..store.entry import Node, gpu_label, number
from ..store.manifest import CandidateRecord
from .plots import (
    Frame,
    PlotPoint,
    Roof,
    floor_frame,
    floor_png,
    floor_points,
    roofline_frame,
    roofline_png,
)

if TYPE_CHECKING:
    from ...devices.hardware import Hardware
    from ...devices.roofline import Cost
    from ...workloads.dataset import Dataset
    from ...workloads.operators import Operator
    from ..store.archive import Archive

TITLE_CHARACTERS = 90
MOST_CANDIDATES = 60
"""Newest candidates drawn beside the best; each is read from git."""
MEASURED_ON = "device"
"""The name that floors of the device measured on have in a record."""


class SiteCharts:
    """Charts of each candidate of a site; an operator's axes on a device are drawn once.

    All candidates together set the limits of the axes; without a dataset there are no rooflines.
    """

    def __init__(self, nodes: Sequence[Node], dataset: Dataset | None) -> None:
        self._operators = dataset.operators if dataset else {}
        self._frames: dict[tuple[str, str, str], Frame] = {}
        self._costs: dict[str, Mapping[str, Cost]] = {}
        self._latencies: dict[tuple[str, str], list[float]] = {}
        for node in nodes:
            if node.latency_us:
                key = (node.definition, node.hardware)
                self._latencies.setdefault(key, []).append(node.latency_us)

    def of(self, node: Node, record: CandidateRecord) -> list[tuple[str, str]]:
        """Title and SVG of each chart; none for a candidate without a latency."""
        if node.latency_us is None:
            return []
        found = [
            ("Latency against floor", self._floor(node, record)),
            ("Roofline", self._roofline(node, record)),
        ]
        return [(title, svg) for title, svg in found if svg]

    def _floor(self, node: Node, record: CandidateRecord) -> str | None:
        floors = {name for w in record.evaluation.workloads for name in w.floors_us}
        points = floor_points(
            record.evaluation, MEASURED_ON if MEASURED_ON in floors else node.hardware
        )
        if not points:
            return None
        key = ("floor", node.definition, node.hardware)
        if key not in self._frames:
            self._frames[key] = floor_frame(self._spread(points, node, up=True), node.hardware)
        return self._frames[key].with_points(points)

    def _roofline(self, node: Node, record: CandidateRecord) -> str | None:
        hardware = _hardware(record)
        if hardware is None or node.definition not in self._operators:
            return None
        if node.definition not in self._costs:
            self._costs[node.definition] = _costs(self._operators[node.definition])
        costs = self._costs[node.definition]
        points = roofline_points(record, costs)
        if not points:
            return None
        key = ("roof", node.definition, node.hardware)
        if key not in self._frames:
            spread = self._spread(points, node, up=False)
            self._frames[key] = roofline_frame(spread, _roof(hardware, costs))
        return self._frames[key].with_points(points)

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


def floor_chart(evaluation: Evaluation, device: str | None = None) -> bytes:
    """Latency against floor of each timed workload, as a PNG; by default of the device it ran on.

    Raises:
        RequestError: when no workload has both a latency and such a floor.
    """
    from ...devices.targets import meant

    known = list(dict.fromkeys(name for w in evaluation.workloads for name in w.floors_us))
    chosen = (meant(device, known) or device) if device else ""
    chosen = chosen or (MEASURED_ON if MEASURED_ON in known else next(iter(known), ""))
    points = floor_points(evaluation, chosen)
    if not points:
        raise RequestError(
            f"Evaluation {evaluation.evaluation_id} has no latency with a floor of "
            f"{chosen or 'any device'}",
            remedy=f"Floors are known for: {', '.join(known) or 'none'}; latencies need a GPU.",
        )
    ran_on = evaluation.evidence.device
    here = chosen == MEASURED_ON
    return floor_png(
        points,
        ran_on.name if ran_on and here else chosen,
        _estimates(evaluation) if here else (),
        f"{evaluation.definition}: {evaluation.solution_name}"[:TITLE_CHARACTERS],
    )


def roofline_chart(archive: Archive, operator: Operator, gpu: str | None = None) -> bytes:
    """An operator's candidates under a device's roof, the best one in colour, as a PNG.

    Args:
        gpu: device as in refs, e.g. 'H200'; the one timed most recently when None.

    Raises:
        RequestError: when nothing was timed on that device, the device's rates are unknown, or the
            operator's work is not in floating point operations.
    """
    label = gpu_label(gpu, operator.policy.objective) if gpu else None
    best = archive.require_best(operator.name, label)
    record = archive.read(best)
    hardware = _hardware(record)
    if hardware is None:
        ran_on = record.evaluation.evidence.device
        raise RequestError(
            f"The rates of {ran_on.name if ran_on else 'an unnamed device'} are not known",
            where=f"candidate {best.candidate_id}",
            remedy="Add the device to kernels/hardware.json with its data sheet's figures.",
        )
    costs = _costs(operator)
    points = roofline_points(record, costs)
    if not points:
        raise RequestError(
            f"Candidate {best.candidate_id} has no latency of a workload with known operations",
            remedy="plot_floors draws latencies against floors, which bytes alone can give.",
        )
    others = [
        point
        for other in archive.history(operator.name, MOST_CANDIDATES)
        if other.latency_us and other.hardware == best.hardware
        if other.candidate_id != best.candidate_id
        for point in roofline_points(archive.read(other), costs)
    ]
    return roofline_png(
        points,
        _roof(hardware, costs),
        others,
        operator.name[:TITLE_CHARACTERS],
        f"best: {best.name[:30]} ({best.candidate_id[:8]})",
    )


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


def _estimates(evaluation: Evaluation) -> list[PlotPoint]:
    """Nominal and latency-aware floor of each timed workload that has both."""
    return [
        PlotPoint(w.floors_us[MEASURED_ON], w.device_floors_us["latency"], "")
        for w in evaluation.workloads
        if w.latency_us and w.floors_us.get(MEASURED_ON) and w.device_floors_us.get("latency")
    ]


def _costs(operator: Operator) -> Mapping[str, Cost]:
    """The work of each workload, by uuid."""
    return {w.uuid: operator.expected_cost(w.uuid) for w in operator.workloads}


def _roof(hardware: Hardware, costs: Mapping[str, Cost]) -> Roof:
    """The device's rates for the precisions that the work uses."""
    used = {name for cost in costs.values() for name in cost.flops}
    peaks = {name: rate.value for name, rate in hardware.flops.items() if name in used}
    return Roof(hardware.name, hardware.memory_bytes_per_s.value, peaks)


def _hardware(record: CandidateRecord) -> Hardware | None:
    device = record.evaluation.evidence.device
    return _identified(device.name, device.sm_count) if device else None


@lru_cache(maxsize=64)
def _identified(name: str, sm_count: int | None) -> Hardware | None:
    from ...devices.hardware import identify

    return identify(name, sm_count, None)
