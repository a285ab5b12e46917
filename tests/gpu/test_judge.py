"""The judge on a GPU: every cheat, and the clock against itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernel_harness.tools.evaluation.comparison import compare, latency
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.evaluation import Evaluation, Executor, Status
from kernel_harness.tools.schema.measurement import Decision, TimeSource

from ..adversarial.cheats import Cheat, every_cheat
from ..adversarial.expectations import meets_its_header
from ..judging import AFFINE, JudgeProcess, make_plan, make_solution, read_workloads

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.process,
]
CHEATS = [c for c in every_cheat() if c.works_on("cuda") and c.family != "clock"]
HONEST = """
def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
"""
SLOWER = """
import torch


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    torch.cuda._sleep(200_000)
"""
LARGE = [{**read_workloads(AFFINE)[3], "uuid": "affine-large", "axes": {"m": 1 << 16}}]
TIMED = wire_judge.Checks(
    trials=1, families=0, blocks=3, pairs_per_block=8, max_pairs=24, half_width=0.0, warm_calls=3
)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    process = JudgeProcess("cuda:0", tmp_path_factory.mktemp("judge-cache"))
    yield process
    process.close()


def timed(judge: JudgeProcess, source: str, baseline: str | None = None) -> Evaluation:
    solution = make_solution(source, definition="affine_n64")
    other = make_solution(baseline, definition="affine_n64") if baseline else None
    plan = make_plan(solution, baseline=other, workloads=LARGE, checks=TIMED)
    evaluation = judge.evaluate(plan)
    assert evaluation.status is Status.PASSED, evaluation.failure
    return evaluation


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_a_cheat_meets_what_its_header_says_on_the_device(cheat: Cheat, judge: JudgeProcess):
    meets_its_header(cheat, judge)


@pytest.mark.alone
def test_a_candidate_is_timed_with_raw_samples_and_their_evidence(judge):
    evaluation = timed(judge, HONEST)
    measurement = evaluation.workloads[0].measurement
    assert measurement is not None
    assert measurement.clock is TimeSource.SEALED, measurement.clock_reason
    assert len(measurement.cold_ns) == len(measurement.block) == 24
    assert len(measurement.host_ns) == len(measurement.called_ns) > 0
    assert set(measurement.block) == {0, 1, 2} and len(measurement.warm_ns) == 3
    assert all(span > 0 for span in measurement.cold_ns)
    assert measurement.kernels and sum(k.share for k in measurement.kernels) == pytest.approx(1)
    assert evaluation.evidence.timer and evaluation.evidence.fresh_values
    assert evaluation.evidence.device is not None
    assert evaluation.evidence.device.executor is Executor.CUDA


@pytest.mark.alone
def test_a_candidate_compared_with_itself_is_never_faster_or_slower(judge):
    result = timed(judge, HONEST, HONEST).workloads[0]
    assert result.measurement is not None and result.baseline_measurement is not None
    found = compare(result.baseline_measurement, result.measurement, {})
    assert found is not None and found.decision in (Decision.EQUAL, Decision.INCONCLUSIVE)


@pytest.mark.alone
def test_a_slower_candidate_is_found_slower_by_what_it_sleeps(judge):
    result = timed(judge, SLOWER, HONEST).workloads[0]
    assert result.measurement is not None and result.baseline_measurement is not None
    found = compare(result.baseline_measurement, result.measurement, {})
    assert found is not None and found.decision is Decision.SLOWER
    ours, theirs = latency(result.measurement), latency(result.baseline_measurement)
    assert ours is not None and theirs is not None
    # The host issues the sleep while the device works: at least most of its 100 us is added.
    assert 60 < ours[0] - theirs[0] < 400


def test_a_fault_of_the_device_ends_only_its_own_trial(judge):
    source = """
import torch


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long() + (1 << 20)])
"""
    solution = make_solution(source, definition="affine_n64")
    evaluation = judge.evaluate(make_plan(solution))
    assert evaluation.status is Status.RUNTIME_ERROR
    assert evaluation.failure is not None and evaluation.failure.remedy
    assert timed(judge, HONEST).status is Status.PASSED
