"""Two GPUs judge at once: each trial on one, as its record says, with the times of one alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
import torch

from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Scope, Status
from kernel_harness.tools.settings import Settings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.alone,
    pytest.mark.process,
    pytest.mark.timeout(300),
]
DIFFERENCE = 0.03
"""Of medians of the same program, alone and beside a neighbour."""


@pytest.fixture(scope="module", autouse=True)
def two() -> None:
    """Needed by every test of this module."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")


def medians(*found: Evaluation) -> dict[str, float]:
    """Medians of latencies by workload."""
    every = [result for one in found for result in one.workloads if result.latency_us]
    uuids = {result.uuid for result in every}
    return {u: median(r.latency_us or 0.0 for r in every if r.uuid == u) for u in uuids}


def test_two_trials_at_once_have_a_gpu_each_and_the_times_of_one_alone(tmp_path: Path) -> None:
    harness = Harness.open(Settings(data_dir=tmp_path, warm_ahead=False))
    assert len(harness.devices) >= 2
    both = harness.devices[:2]
    operator = harness.dataset.operator("gdn_decode")
    solution = operator.solutions()["triton_baseline"]
    asked = EvaluationRequest(operator, solution, Scope.SAMPLE, solution, force=True)

    async def evaluate(*devices: str) -> list[Evaluation]:
        work = [harness.evaluations.evaluate(replace(asked, devices=(d,)), 600) for d in devices]
        return [found.evaluation for found in await asyncio.gather(*work)]

    async def story() -> tuple[list[Evaluation], list[Evaluation]]:
        await evaluate(*both)  # judges are up and kernels are compiled
        try:
            alone = [(await evaluate(device))[0] for device in both]
            return alone, await evaluate(*both)
        finally:
            await harness.aclose()

    alone, beside = asyncio.run(story())
    assert {one.status for one in (*alone, *beside)} == {Status.PASSED}
    uuids = [one.evidence.device.uuid for one in beside if one.evidence.device]
    assert len(set(uuids)) == 2 and None not in uuids
    for quiet, busy in zip(alone, beside, strict=True):
        assert quiet.evidence.device == busy.evidence.device
        before, after = medians(quiet), medians(busy)
        assert all(abs(after[u] / before[u] - 1) < DIFFERENCE for u in before), (before, after)
        findings = [f.message for f in busy.integrity.findings if f.claim == "disturbed_machine"]
        assert findings == []
