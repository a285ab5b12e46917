"""Measurements as PNGs: one evaluation against its floors, an operator's candidates under a roof.

Finds the points and the device's rates and has `plots` draw them; nothing is drawn that was not
measured. Imported only when a picture is asked for, since drawing needs a large library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RequestError
from ..schema.evaluation import Evaluation
from .report.charts import roofline_points
from .report.plots import PlotPoint, Roof, floor_png, floor_points, roofline_png
from .store.manifest import gpu_label

if TYPE_CHECKING:
    from ..workloads.operators import Operator
    from .store.archive import Archive

TITLE_CHARACTERS = 90
MOST_CANDIDATES = 60
"""Newest candidates drawn beside the best; each is read from git."""
MEASURED_ON = "device"
"""The name that floors of the device measured on go by in a record."""


def floor_picture(evaluation: Evaluation, device: str | None = None) -> bytes:
    """Latency against floor of each timed workload, as a PNG.

    Args:
        evaluation: a timed trial.
        device: whose floors; those of the device measured on when None.

    Raises:
        RequestError: when no workload has both a latency and such a floor.
    """
    known = list(dict.fromkeys(name for w in evaluation.workloads for name in w.floors_us))
    chosen = device or (MEASURED_ON if MEASURED_ON in known else next(iter(known), ""))
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


def _estimates(evaluation: Evaluation) -> list[PlotPoint]:
    """Nominal and latency-aware floor of each timed workload that has both."""
    timed = [w for w in evaluation.workloads if w.latency_us]
    return [
        PlotPoint(w.floors_us[MEASURED_ON], w.device_floors_us["latency"], "")
        for w in timed
        if w.floors_us.get(MEASURED_ON) and w.device_floors_us.get("latency")
    ]


def roofline_picture(archive: Archive, operator: Operator, gpu: str | None = None) -> bytes:
    """An operator's candidates under a device's roof, the best one in colour, as a PNG.

    Args:
        archive: where the best is kept.
        operator: whose cost model gives operations and bytes.
        gpu: device as in refs, e.g. 'H200'; the one timed most recently when None.

    Raises:
        RequestError: when nothing was timed on that device, the device's rates are unknown, or the
            operator's work is not in floating point operations.
    """
    from ..devices.roofline import identify

    node = archive.best(operator.name, gpu_label(gpu) if gpu else None)
    if node is None:
        raise RequestError(
            f"No candidate of {operator.name} was timed" + (f" on {gpu}" if gpu else ""),
            remedy="Evaluate one on a GPU with scope 'sample' or 'full', then archive_candidate.",
        )
    record = archive.get(node.candidate_id)
    ran_on = record.evaluation.evidence.device
    hardware = identify(ran_on.name, ran_on.sm_count, None) if ran_on else None
    if hardware is None:
        raise RequestError(
            f"The rates of {ran_on.name if ran_on else 'an unnamed device'} are not known",
            where=f"candidate {node.candidate_id}",
            remedy="Add the device to kernels/hardware.json with its data sheet's figures.",
        )
    costs = {
        w.uuid: operator.cost(w.axes, structure=operator.structure.get(w.uuid))
        for w in operator.workloads
    }
    points = roofline_points(record, costs)
    if not points:
        raise RequestError(
            f"Candidate {node.candidate_id} has no latency of a workload with known operations",
            remedy="plot_floors draws latencies against floors, which bytes alone can give.",
        )
    used = {name for cost in costs.values() for name in cost.flops}
    peaks = {name: rate.value for name, rate in hardware.flops.items() if name in used}
    others = [
        point
        for other in archive.history(operator.name, MOST_CANDIDATES)
        if other.latency_us and other.hardware == node.hardware
        if other.candidate_id != node.candidate_id
        for point in roofline_points(archive.get(other.candidate_id), costs)
    ]
    return roofline_png(
        points,
        Roof(hardware.name, hardware.memory_bytes_per_s.value, peaks),
        others,
        operator.name[:TITLE_CHARACTERS],
        f"best: {node.name[:30]} ({node.candidate_id[:8]})",
    )
