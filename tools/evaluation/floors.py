"""What a server adds to a judge's record: the operator's state, and floors on the device it ran on.

The judge knows the nominal floor, which decides whether a latency is possible. What was measured of
this device, and launch and serial steps, only explain; they are added here, from the operator's
cost model and the calibration that the user ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..devices.calibration import calibration_folder, with_calibration
from ..devices.hardware import Hardware, identify, load_hardware
from ..devices.roofline import floors, scaled_cost
from ..errors import DatasetError, RequestError
from ..schema.evaluation import Evaluation, Executor, WorkloadResult

if TYPE_CHECKING:
    from ..settings import Settings
    from ..workloads.operators import Operator

OPERATOR = "operator"
"""Key among a record's versions: the digest of the operator that judged it."""


def with_operator(evaluation: Evaluation, judged_by: str) -> Evaluation:
    """The record with the state of the operator that decided it."""
    versions = {**evaluation.evidence.versions, OPERATOR: judged_by}
    evidence = evaluation.evidence.model_copy(update={"versions": versions})
    return evaluation.model_copy(update={"evidence": evidence})


def with_floors(evaluation: Evaluation, operator: Operator, settings: Settings) -> Evaluation:
    """The evaluation with every workload's floors on the device measured on.

    A device that is not in the table, or a workload whose cost cannot be counted, has none.
    """
    device = evaluation.evidence.device
    if device is None or device.executor is not Executor.CUDA:
        return evaluation
    known = _hardware(device.name, device.sm_count, settings)
    if known is None:
        return evaluation
    results = [
        result.model_copy(update={"device_floors_us": _floors(operator, result, known)})
        for result in evaluation.workloads
    ]
    return evaluation.model_copy(update={"workloads": results})


def _hardware(name: str, sm_count: int | None, settings: Settings) -> Hardware | None:
    table = load_hardware(settings.kernels_dir / "hardware.json")
    known = identify(name, sm_count, None, table)
    return known and with_calibration(known, calibration_folder(settings))


def _floors(operator: Operator, result: WorkloadResult, known: Hardware) -> dict[str, float]:
    try:
        cost = operator.expected_cost(result.uuid)
        found = floors(cost, known)
        counted = result.floors_us.get("device")
        if cost.expected and counted and found.nominal_us:
            # The judge counted the inputs that it drew; here only the expectation is known.
            found = floors(scaled_cost(cost, counted / found.nominal_us), known)
    except (DatasetError, RequestError):
        return {}
    kinds = {
        "nominal": found.nominal_us,
        "calibrated": found.calibrated_us,
        "latency": found.latency_us,
    }
    return {kind: floor for kind, floor in kinds.items() if floor is not None}
