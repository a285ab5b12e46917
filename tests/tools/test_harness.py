"""One object that holds the parts: what a call means before any process is started."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.errors import HarnessError, RequestError
from kernel_harness.tools.evaluation.service import EvaluateRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset

from .profiling.test_service import solution
from .workloads.test_listing import operator

JUDGE = (sys.executable, str(Path(__file__).parent / "evaluation" / "scripted_judge.py"))


@pytest.fixture
def harness(tmp_path):
    settings = load_settings({"data_dir": str(tmp_path), "device": "cpu"})
    made = Harness(settings, Dataset({"double": operator(3)}, ()))
    made.pool._command = JUDGE
    yield made
    made.kill_children()


def judged(harness: Harness, candidate: Solution, **choices: Any):
    async def judge():
        try:
            return await harness.evaluate_kernel(solution=candidate, **choices)
        finally:
            await harness.aclose()

    return asyncio.run(judge())


def asked(harness: Harness, monkeypatch: pytest.MonkeyPatch, **choices: Any) -> EvaluateRequest:
    """What the evaluation service is asked for."""
    seen: list[EvaluateRequest] = []

    async def evaluate(request: EvaluateRequest, *rest: Any) -> None:
        seen.append(request)

    monkeypatch.setattr(harness.evaluations, "evaluate", evaluate)
    judged(harness, solution(), **choices)
    return seen[0]


def test_a_candidate_is_judged_and_its_record_is_found_again(harness):
    evaluation = judged(harness, solution("fine"))
    assert evaluation.status is Status.PASSED
    assert harness.records.get(evaluation.evaluation_id) == evaluation


def test_compared_with_nothing_no_baseline_is_planned(harness, monkeypatch):
    assert asked(harness, monkeypatch, compare_to="nothing").baseline is None


def test_an_unknown_name_to_compare_with_is_refused_before_anything_starts(harness):
    with pytest.raises(HarnessError, match="solution, peer or candidate"):
        judged(harness, solution(), compare_to="trition_baseline")
    assert harness.pool.ready("cpu") is None


def test_an_unknown_scope_names_those_that_there_are(harness):
    with pytest.raises(HarnessError, match="scope") as caught:
        judged(harness, solution(), scope="smple")
    assert "sample" in str(caught.value)


def test_a_candidate_for_an_unknown_definition_is_refused(harness):
    stranger = solution().model_copy(update={"definition": "double2"})
    with pytest.raises(HarnessError, match="double"):
        judged(harness, stranger)


def test_neither_workspace_nor_solution_says_what_to_pass(harness):
    with pytest.raises(RequestError) as caught:
        asyncio.run(harness.evaluate_kernel())
    assert "workspace" in str(caught.value)


def test_past_its_patience_the_answer_is_an_id_that_finds_the_record(harness):
    async def impatient():
        early = await harness.evaluate_kernel(solution=solution("slow"), wait_s=0.05)
        late = await harness.get_evaluation(f" {early.evaluation_id}\n", wait_s=30)
        await harness.aclose()
        return early, late

    early, late = asyncio.run(impatient())
    assert early.status is Status.RUNNING and late.status is Status.PASSED
    assert early.evaluation_id == late.evaluation_id


def test_what_never_started_anything_ends_at_once(harness):
    asyncio.run(harness.aclose())
