"""The rungs that torch compiles, in the process in which candidates are built and called."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernel_harness.tools.evaluation.ladder.rungs import MODES, compiled_reference
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.workloads.operators import Operator

from ..judging import AFFINE, JudgeProcess, make_plan, read_definition

pytestmark = [pytest.mark.gpu, pytest.mark.process]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    process = JudgeProcess("cuda:0", tmp_path_factory.mktemp("judge-cache"))
    yield process
    process.close()


@pytest.mark.parametrize("mode", MODES.values())
def test_the_reference_that_torch_compiles_is_right_and_timed(judge, mode):
    operator = Operator(definition=read_definition(AFFINE), workloads=())
    checks = Checks(trials=1, families=0, pairs_per_block=5, max_pairs=5, warm_calls=0)
    record = judge.evaluate(make_plan(compiled_reference(operator, mode), checks=checks))
    assert record.status is Status.PASSED, (record.failure, record.log)
    # A workload without rows launches nothing.
    timed = [result for result in record.workloads if result.axes["m"] > 0]
    assert timed
    assert all(r.measurement is not None for r in timed), [r.reason for r in timed]
