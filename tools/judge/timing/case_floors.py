"""Floors: the least times of a case, on this device and on the targets of a plan."""

from __future__ import annotations

from pathlib import Path

from ...devices.hardware import Hardware, identify, load_hardware
from ...devices.roofline import Cost, floors
from ...errors import DatasetError
from ...messages.judge import EvaluatePlan
from ...schema.evaluation import Executor
from ..operators.operator_adapter import Case, OperatorAdapter
from ..processes.context import JudgeContext

DEVICE = "device"


class CaseFloors:
    """Nominal floors in microseconds; a device that is not in the table has none."""

    def __init__(
        self, plan: EvaluatePlan, operator: OperatorAdapter, context: JudgeContext
    ) -> None:
        self._operator = operator
        table = load_hardware(Path(plan.hardware_file)) if plan.hardware_file else {}
        self._devices: dict[str, Hardware] = {t: table[t] for t in plan.targets if t in table}
        if table and context.info.executor is Executor.CUDA:
            here = identify(context.info.name, context.info.sm_count, context.memory_mhz, table)
            if here is not None:
                self._devices[DEVICE] = here

    def cost(self, case: Case) -> Cost:
        """The work of a case."""
        return self._operator.cost(case)

    def of(self, case: Case) -> dict[str, float]:
        """Floors by device; a held-out case or an unusable cost has none."""
        try:
            cost = self._operator.cost(case)
            return {name: floors(cost, device).nominal_us for name, device in self._devices.items()}
        except DatasetError:
            return {}
