"""A/A runs against a judge whose kernels take a known time with known noise."""

import asyncio
import json

import pytest

from kernel_harness.tools.devices.noise_floor import load_noise_floor
from kernel_harness.tools.errors import CapabilityError, InfrastructureError
from kernel_harness.tools.evaluation.judge_pool import JudgePool
from kernel_harness.tools.evaluation.noise_calibration import (
    SpinTrials,
    calibrate_noise,
    spin_operator,
    spinning,
)
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.settings import Settings

DEVICE = "cuda:7"


@pytest.fixture
def pool(tmp_path, scripted):
    made = JudgePool(Settings(data_dir=tmp_path), scripted)
    yield made
    made.kill()


def test_floors_are_kept_by_decade_for_the_device_they_were_taken_on(tmp_path, pool):
    settings = Settings(data_dir=tmp_path)

    async def calibrated():
        path = await calibrate_noise(settings, pool, DEVICE)
        await pool.close()
        return path

    path = asyncio.run(calibrated())
    floors = load_noise_floor(settings, "NVIDIA B200")
    assert sorted(floors) == ["0", "1", "2"]
    # The median of 30 ratios of two samples with 1 % of noise each spreads by 0.3 %.
    assert all(0.003 <= floor < 0.012 for floor in floors.values())
    assert load_noise_floor(settings, "NVIDIA H200") == {}
    kept = json.loads(path.read_text())
    assert kept["device"] == "NVIDIA B200" and kept["provenance"]["comparisons"] == 40
    assert not settings.evaluations_dir.exists()


def test_steps_are_found_for_a_duration(tmp_path, pool):
    async def found():
        trials = SpinTrials(Settings(data_dir=tmp_path), pool, DEVICE, tmp_path / "own")
        steps = await trials.steps_for(30.0)
        again = await trials.compared(spinning("a", steps), spinning("a", steps), 3)
        await pool.close()
        return again.workloads[0].latency_us

    assert asyncio.run(found()) == pytest.approx(30.0, rel=0.05)


def test_what_cannot_be_timed_is_said_so(tmp_path, pool):
    async def compared():
        trials = SpinTrials(Settings(data_dir=tmp_path), pool, DEVICE, tmp_path / "own")
        await trials.compared(spinning("judge_dies", 1), spinning("judge_dies", 1), 1)

    with pytest.raises(InfrastructureError, match="INFRASTRUCTURE_ERROR"):
        asyncio.run(compared())
    with pytest.raises(CapabilityError, match="no GPU"):
        asyncio.run(calibrate_noise(Settings(data_dir=tmp_path), pool, "cpu"))


@pytest.mark.long
def test_the_spinning_kernel_is_right_whatever_it_is_given(tmp_path):
    """Held-out sizes are no multiples of its block, and some inputs are infinite."""

    async def judged():
        harness = Harness.open(Settings(data_dir=tmp_path, device="cpu"))
        request = EvaluationRequest(spin_operator(1), spinning("spin", 2), Scope.SAMPLE)
        try:
            return (await harness.evaluations.evaluate(request)).evaluation
        finally:
            await harness.aclose()

    evaluation = asyncio.run(judged())
    assert evaluation.status is Status.PASSED, evaluation.failure
