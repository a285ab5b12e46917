"""A full set that leaves out workloads says so, on a real harness and a real judge."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from kernel_harness.server.answers.evaluation.answer import evaluation_answer
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset

from ...judging import AFFINE, make_solution

SOURCE = """
def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
"""


def with_a_constraint(folder: Path, constraint: str) -> Path:
    """A copy of the operator whose definition has a constraint; returns the folder of operators."""
    shutil.copytree(AFFINE, folder / "affine_n64")
    path = folder / "affine_n64" / "definition.json"
    definition = json.loads(path.read_text())
    path.write_text(json.dumps({**definition, "constraints": [constraint]}))
    return folder


@pytest.mark.process
@pytest.mark.long
def test_what_a_full_set_leaves_out_is_told(tmp_path):
    operators = with_a_constraint(tmp_path / "operators", "m != 17")
    settings = Settings(data_dir=tmp_path / "data", device="cpu", warm_ahead=False)

    async def judged() -> dict[Scope, Evaluated]:
        harness = Harness(settings, Dataset.load(operators, ()))
        operator = harness.dataset.operator("affine_n64")
        solution = make_solution(SOURCE, definition="affine_n64")
        try:
            return {
                scope: await harness.evaluations.evaluate(
                    EvaluationRequest(operator, solution, scope), 150
                )
                for scope in (Scope.FULL, Scope.SMOKE)
            }
        finally:
            await harness.aclose()

    found = asyncio.run(judged())
    whole, smoke = found[Scope.FULL].evaluation, found[Scope.SMOKE].evaluation
    assert whole.status is Status.PASSED, whole.failure
    assert "affine-17" not in {workload.uuid for workload in whole.workloads}
    (told,) = [f for f in whole.integrity.findings if f.claim == "set_is_whole"]
    words = "workloads.jsonl:3: affine-17 violates the constraint 'm != 17' (m = 17)"
    assert (
        told.message.startswith("1 of the set's workloads cannot be used") and words in told.message
    )
    integrity = evaluation_answer(found[Scope.FULL]).integrity
    assert integrity is not None
    (shown,) = [f for f in integrity.findings if f.claim == "set_is_whole"]
    assert shown.message and shown.message.startswith("1 of the set's workloads cannot be used")
    assert "set_is_whole" not in {finding.claim for finding in smoke.integrity.findings}
