"""Shipped solutions launch the same wherever they run: what is judged is what would be used."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.judge.checks.integrity import LAUNCHES
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
from tests.folding import for_each

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
ASKS_WHERE_IT_RUNS = re.compile(
    r"\bis_cuda\b|\bis_cpu\b|device\.type|is_available\(|TRITON_INTERPRET|InterpretedFunction"
    r"|knobs\.runtime"
)
SOURCES = sorted(path for path in KERNELS.glob("*/solutions/*/*") if path.suffix in (".py", ".cu"))
OPERATORS = sorted({path.parents[2].name for path in SOURCES})

PATIENT = {"cpu_budget_s": 400, "call_timeout_s": 300}
"""A busy machine takes several times as long to interpret a call, which is no fault of it."""


def test_there_are_solutions_to_look_at():
    assert len(SOURCES) >= len(OPERATORS) >= 5


@for_each("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_shipped_solution_does_not_ask_where_it_runs(path):
    assert not ASKS_WHERE_IT_RUNS.findall(path.read_text(encoding="utf-8"))


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize("definition", OPERATORS)
def test_what_is_interpreted_of_a_shipped_solution_is_what_is_compiled(definition, tmp_path):
    async def judged():
        harness = Harness(
            load_settings({"data_dir": str(tmp_path), "device": "cpu", **PATIENT}),
            Dataset.load(KERNELS),
        )
        try:
            operator = harness.lookup.dataset.operator(definition)
            requests = [
                EvaluationRequest(operator, solution, Scope.SMOKE, force=True)
                for solution in operator.solutions().values()
                if solution.spec.language.value == "triton"
            ]
            return [
                (await harness.evaluations.evaluate(request, 500)).evaluation
                for request in requests
            ]
        finally:
            await harness.aclose()

    for record in asyncio.run(judged()):
        assert record.status is Status.PASSED, record.failure
        assert LAUNCHES in record.integrity.checks, record.integrity.not_run
