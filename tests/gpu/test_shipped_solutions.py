"""Shipped solutions in CUDA C++ pass as an agent's candidate does, and their times are sealed."""

from __future__ import annotations

import pytest

from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.schema.flashinfer_trace import Language
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset

pytestmark = [pytest.mark.gpu, pytest.mark.alone, pytest.mark.timeout(300)]
OPERATORS = Dataset.load(load_settings().kernels_dir).operators
SHIPPED = [
    (operator.name, name)
    for operator in OPERATORS.values()
    for name, solution in operator.solutions().items()
    if solution.spec.language is Language.CUDA
]


@pytest.fixture(scope="module")
def harness(tmp_path_factory, loop):
    made = Harness.open(load_settings({"data_dir": str(tmp_path_factory.mktemp("shipped"))}))
    yield made
    loop.run_until_complete(made.aclose())


@pytest.mark.parametrize(("definition", "name"), SHIPPED)
def test_a_shipped_solution_in_cuda_passes_with_sealed_times(harness, loop, definition, name):
    operator = harness.dataset.operator(definition)
    request = harness.lookup.evaluation_request(
        solution=harness.lookup.solution(operator, name), scope=Scope.SAMPLE, compare_to="nothing"
    )
    evaluation = loop.run_until_complete(harness.evaluations.evaluate(request)).evaluation
    assert evaluation.status is Status.PASSED, evaluation.failure
    measured = [workload.measurement for workload in evaluation.workloads]
    assert [m and m.clock for m in measured] == [TimeSource.SEALED] * len(measured), [
        m and m.clock_reason for m in measured
    ]
