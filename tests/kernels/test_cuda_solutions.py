"""Shipped solutions in CUDA C++ compile for both devices, and their host code is called there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kernel_harness.tools.archive.search.dispatch.cuda_entry import cuda_files
from kernel_harness.tools.archive.search.dispatch.parts import Choice, Part
from kernel_harness.tools.archive.store.entry import Node
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Scope, Status
from kernel_harness.tools.schema.flashinfer_trace import Language, Solution
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset

KERNELS = Path(str(files("kernel_harness.kernels")))
SHIPPED = [
    (operator.name, name)
    for operator in Dataset.load(KERNELS).operators.values()
    for name, solution in operator.solutions().items()
    if solution.spec.language is Language.CUDA
]


def compiled(
    definition: str, chosen: Callable[[Mapping[str, Solution]], Solution], folder: Path
) -> Evaluation:
    """The record of a solution that is compiled and called against the stub."""

    async def judged() -> Evaluation:
        harness = Harness(
            load_settings({"data_dir": str(folder), "device": "cpu", "build_timeout_s": 500}),
            Dataset.load(KERNELS),
        )
        try:
            operator = harness.lookup.dataset.operator(definition)
            solution = chosen(operator.solutions())
            request = EvaluationRequest(operator, solution, Scope.STATIC, force=True)
            return (await harness.evaluations.evaluate(request, 550)).evaluation
        finally:
            await harness.aclose()

    return asyncio.run(judged())


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
    record = compiled(definition, lambda solutions: solutions[name], tmp_path)
    assert record.status is Status.COMPILED, record.failure
    assert "undefined symbol" not in record.model_dump_json()


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_two_programs_of_the_same_names_are_joined_and_called_at_their_sizes(tmp_path):
    """The decode kernel, and a copy of it that runs other tiles at a batch of one."""
    definition = "gdn_decode_qk4_v8_d128_k_last"

    def joined(solutions: Mapping[str, Solution]) -> Solution:
        first = solutions["cuda_rows"]
        texts = first.model_dump_json().replace("launch<2, 1, 2>", "launch<8, 1, 2>")
        second = Solution.model_validate_json(texts)
        parts = [
            Part(
                f"part_{name}",
                cast("Node", SimpleNamespace(candidate_id=name, name=name)),
                solution,
            )
            for name, solution in {"large": first, "small": second}.items()
        ]
        choice = Choice("batch_size", 0, 0, [(4, parts[1])], parts[0], [])
        files = [{"path": p, "content": c} for p, c in cuda_files(choice, parts).items()]
        spec = first.spec.model_copy(update={"entry_point": "main.cpp::run"})
        changed = {"sources": files, "spec": spec.model_dump()}
        return Solution.model_validate(first.model_dump() | changed)

    record = compiled(definition, joined, tmp_path)
    assert record.status is Status.COMPILED, record.failure
    assert record.static is not None
    launched = {kernel.name for kernel in record.static.kernels if kernel.grids}
    assert "part_small::gated_delta_step<8, 1, 2>" in launched
    assert "part_large::gated_delta_step<8, 1, 4>" in launched
    assert "part_large::gated_delta_step<2, 1, 2>" not in launched
