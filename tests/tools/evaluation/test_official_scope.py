"""Scope official, which ranks, meets held-out sizes as the others do: real harness, real judge."""

from __future__ import annotations

import asyncio

import pytest

from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Scope, Status
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset

from ...judging import AFFINE, make_solution, read_workloads

PUBLIC = sorted(workload["axes"]["m"] for workload in read_workloads(AFFINE))
RIGHT = """
def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
"""
RIGHT_ON_PUBLIC_SIZES = f"{RIGHT}    if x.shape[0] not in {PUBLIC}:\n        y.zero_()\n"


def official(source: str, settings: Settings) -> Evaluation:
    """The record of a candidate's evaluation at scope official."""

    async def judged() -> Evaluation:
        harness = Harness(settings, Dataset.load(AFFINE.parent, ()))
        try:
            operator = harness.dataset.operator("affine_n64")
            solution = make_solution(source, definition="affine_n64")
            request = EvaluationRequest(operator, solution, Scope.OFFICIAL)
            return (await harness.evaluations.evaluate(request, 150)).evaluation
        finally:
            await harness.aclose()

    return asyncio.run(judged())


@pytest.mark.process
@pytest.mark.long
def test_the_official_scope_has_held_out_sizes(tmp_path):
    settings = Settings(data_dir=tmp_path, device="cpu", warm_ahead=False)
    right = official(RIGHT, settings)
    assert right.status is Status.PASSED, right.failure
    assert "held_out" in right.integrity.checks and right.held_out is not None
    assert right.held_out.called > 0
    memorised = official(RIGHT_ON_PUBLIC_SIZES, settings)
    assert memorised.status is Status.INCORRECT_NUMERICAL
    assert memorised.failure is not None and memorised.failure.held_out
