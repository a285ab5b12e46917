"""The rungs that torch compiles or that loop in Python, as candidates are built and called."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernel_harness.tools.evaluation.ladder.rungs import (
    FEW_CALLS,
    MODES,
    ONE_CHECKED_SET,
    SLOW,
    compiled_reference,
)
from kernel_harness.tools.evaluation.plan import CHECKS
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
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


@pytest.mark.parametrize("compiled", [False, True])
def test_a_reference_of_thousands_of_launches_is_timed_in_part_and_ends(judge, compiled):
    """Each batch holds eight times as many loops as sequences; torch unrolls all of them."""
    operator = Dataset.load(load_settings({}).kernels_dir).operator("gdn_decode")
    assert operator.folder is not None
    reference = compiled_reference(operator, "default") if compiled else operator.reference()
    sizes = {w.axes["batch_size"]: w.model_dump(mode="json") for w in operator.workloads}
    plan = make_plan(
        reference,
        operator.folder,
        scope="sample",
        checks=CHECKS[Scope.SAMPLE].model_copy(update={**ONE_CHECKED_SET, **FEW_CALLS}),
        workloads=[sizes[batch] for batch in sorted(sizes)],
        budget_s=SLOW.budget_s,
        timing_s=SLOW.timing_s,
        ends_after_s=SLOW.ends_after_s,
    )
    record = judge.evaluate(plan)
    right = [r.axes["batch_size"] for r in record.workloads if r.status is Status.PASSED]
    timed = [r.axes["batch_size"] for r in record.workloads if r.measurement]
    assert 1 in right, (record.failure, record.log)
    # Of one that took too long on some batch the ladder has those before it timed.
    too_long = compiled and record.status is Status.TIMEOUT
    assert too_long or 1 in timed, [r.reason for r in record.workloads]
