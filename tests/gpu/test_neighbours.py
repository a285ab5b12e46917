"""What a trial tried to leave behind changes nothing of the trial after it, nor of the device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
import torch

from kernel_harness.tools.judge.machine.nvml import nvml_handle, open_nvml
from kernel_harness.tools.schema.evaluation import Evaluation, Status
from kernel_harness.tools.schema.measurement import Measurement, TimeSource

from ..judging import JudgeProcess, make_plan, make_solution
from ..leaks import DEVICE_LEAKS, LEAKS, settled, standing
from .test_judge import HONEST, LARGE, TIMED

pytestmark = [pytest.mark.gpu, pytest.mark.process, pytest.mark.alone]
EVERY = LEAKS | DEVICE_LEAKS
MEMORY_SLACK = 256 << 20
QUIET_RUNS = 3


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judge-cache")


@pytest.fixture(scope="module")
def judge(cache: Path) -> Iterator[JudgeProcess]:
    process = JudgeProcess("cuda:0", cache)
    yield process
    process.close()


def evaluate(judge: JudgeProcess, source: str) -> Evaluation:
    solution = make_solution(source, definition="affine_n64")
    return judge.evaluate_and_rest(make_plan(solution, workloads=LARGE, checks=TIMED))


def victim(judge: JudgeProcess) -> Measurement:
    found = evaluate(judge, HONEST)
    assert found.status is Status.PASSED, found.failure
    measurement = found.workloads[0].measurement
    assert measurement is not None
    assert measurement.clock is TimeSource.SEALED, measurement.clock_reason
    assert [f.message for f in found.integrity.findings if f.claim == "disturbed_machine"] == []
    return measurement


def used_bytes() -> int:
    """Memory in use on the device, whoever uses it."""
    nvml = open_nvml()
    handle = nvml_handle(nvml, torch.device("cuda:0"))
    return int(nvml.nvmlDeviceGetMemoryInfo(handle).used)


@pytest.fixture(scope="module")
def quiet(judge: JudgeProcess) -> tuple[float, float, int]:
    """Latency and host time of the victim on a quiet machine, and the memory in use then."""
    runs = [victim(judge) for _ in range(QUIET_RUNS)]
    spans = [span for run in runs for span in run.cold_ns]
    hosts = [host for run in runs for host in run.host_ns]
    return median(spans), median(hosts), used_bytes()


@pytest.mark.parametrize("leak", sorted(EVERY))
def test_a_trial_after_a_leak_is_timed_as_on_a_quiet_machine(leak, judge, cache, quiet):
    span_ns, host_ns, used = quiet
    before = standing(judge.process.pid)
    evaluate(judge, EVERY[leak])
    assert settled(judge.process.pid, cache, before) == set()
    assert used_bytes() <= used + MEMORY_SLACK
    # What a leak does to its neighbours lasts; a host time of one evaluation has its own noise.
    runs = [victim(judge)]
    while len(runs) < QUIET_RUNS and median(runs[-1].host_ns) >= 2 * host_ns:
        runs.append(victim(judge))
    assert all(abs(median(run.cold_ns) / span_ns - 1) < 0.03 for run in runs)
    assert median(runs[-1].host_ns) < 2 * host_ns, [run.host_ns for run in runs]
