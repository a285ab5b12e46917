"""Floors of a case: on this device where the table has it, and on the targets of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.devices.hardware import load_hardware
from kernel_harness.tools.devices.roofline import floors
from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.judge.timing.case_floors import DEVICE, CaseFloors
from kernel_harness.tools.schema.evaluation import DeviceInfo, Executor

from ....judging import make_plan, make_solution
from ..scripted import CASE, affine

HARDWARE = Path(__file__).parents[4] / "kernels" / "hardware.json"
H200 = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)
UNKNOWN = DeviceInfo(name="NVIDIA of next year", executor=Executor.CUDA, sm_count=1)
HOST = DeviceInfo(name="NVIDIA H200", executor=Executor.INTERPRETER)


@dataclass
class Context:
    """What floors ask of the judge's context."""

    info: DeviceInfo
    memory_mhz: int | None = None


def case_floors(info: DeviceInfo, operator: OperatorAdapter | None = None, **plan: Any):
    solution = make_solution("def run(): pass\n", definition="affine_n64")
    options = {"hardware_file": str(HARDWARE), **plan}
    context: Any = Context(info)
    return CaseFloors(make_plan(solution, **options), operator or affine(), context)


def test_a_known_device_has_the_floor_that_its_rates_give():
    found = case_floors(H200).of(CASE)
    assert set(found) == {DEVICE} and found[DEVICE] > 0
    cost = affine().cost(CASE)
    here = min(
        abs(floors(cost, device).nominal_us - found[DEVICE])
        for device in load_hardware(HARDWARE).values()
    )
    assert here == 0


def test_targets_have_floors_of_their_own_and_unknown_ones_have_none():
    found = case_floors(H200, targets=["B200", "no such device"]).of(CASE)
    assert set(found) == {DEVICE, "B200"}


@pytest.mark.parametrize("info", [UNKNOWN, HOST])
def test_a_device_that_is_not_in_the_table_or_no_gpu_has_no_floor(info):
    assert case_floors(info).of(CASE) == {}
    assert set(case_floors(info, targets=["B200"]).of(CASE)) == {"B200"}


def test_without_a_table_there_are_no_floors():
    assert case_floors(H200, hardware_file="", targets=["B200"]).of(CASE) == {}


def test_a_cost_that_cannot_be_counted_gives_no_floor(monkeypatch):
    def faulty(self: OperatorAdapter, case: Any) -> None:
        raise DatasetError("cost.py is wrong")

    monkeypatch.setattr(OperatorAdapter, "cost", faulty)
    made = case_floors(H200)
    assert made.of(CASE) == {}
    with pytest.raises(DatasetError):
        made.cost(CASE)
