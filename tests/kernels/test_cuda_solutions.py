"""Shipped solutions in CUDA C++ compile for both devices, and their host code is called there."""

from __future__ import annotations

import asyncio
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.schema.flashinfer_trace import Language
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset

KERNELS = Path(str(files("kernel_harness.kernels")))
SHIPPED = [
    (operator.name, name)
    for operator in Dataset.load(KERNELS).operators.values()
    for name, solution in operator.solutions().items()
    if solution.spec.language is Language.CUDA
]


def test_there_are_solutions_to_look_at():
    assert len(SHIPPED) >= 3


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize(("definition", "name"), SHIPPED)
def test_a_shipped_solution_compiles_and_its_host_code_runs_against_the_stub(
    definition, name, tmp_path
):
    async def judged():
        harness = Harness(
            load_settings({"data_dir": str(tmp_path), "device": "cpu", "build_timeout_s": 500}),
            Dataset.load(KERNELS),
        )
        try:
            operator = harness.lookup.dataset.operator(definition)
            request = EvaluationRequest(
                operator, operator.solutions()[name], Scope.STATIC, force=True
            )
            return (await harness.evaluations.evaluate(request, 550)).evaluation
        finally:
            await harness.aclose()

    record = asyncio.run(judged())
    assert record.status is Status.COMPILED, record.failure
    assert "undefined symbol" not in record.model_dump_json()
