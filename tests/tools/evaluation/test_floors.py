"""The floors that a trial's workloads are held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.evaluation.floors import with_floors
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
from tests.records import make_record

OPERATOR = "gdn_decode_qk4_v8_d128_k_last"


@pytest.fixture(scope="module")
def operator():
    kernels = load_settings({}).kernels_dir
    return Dataset.load(kernels, []).operator(OPERATOR)


def evaluation(operator, device: DeviceInfo) -> Evaluation:
    workload = operator.workloads[0]
    return make_record(
        definition=OPERATOR,
        workloads=[WorkloadResult(uuid=workload.uuid, axes=workload.axes, status=Status.PASSED)],
        evidence=Evidence(device=device, started_at="2026-01-01T00:00:00Z"),
    )


def floors_on(operator, tmp_path: Path, **facts) -> dict[str, float]:
    device = DeviceInfo(**({"name": "NVIDIA H200", "executor": Executor.CUDA} | facts))
    settings = load_settings({"data_dir": str(tmp_path)})
    return (
        with_floors(evaluation(operator, device), operator, settings).workloads[0].device_floors_us
    )


def test_three_floors_stand_beside_a_latency_on_a_known_device(operator, tmp_path):
    found = floors_on(operator, tmp_path, sm_count=132)
    assert 0 < found["nominal"] < found["calibrated"] < found["latency"]


def test_where_the_judge_counted_the_inputs_every_floor_follows_its_count(tmp_path):
    moe = Dataset.load(load_settings({}).kernels_dir, []).operator("moe")
    device = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)
    settings = load_settings({"data_dir": str(tmp_path)})

    def found(counted: dict[str, float]) -> dict[str, float]:
        trial = evaluation(moe, device)
        (result,) = trial.workloads
        result = result.model_copy(update={"floors_us": counted})
        trial = trial.model_copy(update={"workloads": [result]})
        return with_floors(trial, moe, settings).workloads[0].device_floors_us

    expected = found({})
    half = found({"device": expected["nominal"] / 2})
    assert half["nominal"] == pytest.approx(expected["nominal"] / 2)
    assert half["calibrated"] == pytest.approx(expected["calibrated"] / 2)
    assert half["latency"] < expected["latency"]


def test_an_unknown_device_or_none_has_no_floors_rather_than_wrong_ones(operator, tmp_path):
    assert floors_on(operator, tmp_path, sm_count=16) == {}
    assert floors_on(operator, tmp_path, name="NVIDIA H200 NVL", sm_count=132) == {}
    assert floors_on(operator, tmp_path, sm_count=132, executor=Executor.INTERPRETER) == {}
