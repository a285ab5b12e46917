"""A recorded verdict is asked for again from its sources and seeds, or refused with a reason."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.errors import CapabilityError, RequestError
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.rejudge import Rejudged, draws_repeated, rejudge
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Failure,
    Integrity,
    Stage,
    Status,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.workloads.dataset import Dataset
from tests.records import make_record

ID = "ev-20261120-221530-9f3a61c2"
SEEDS = {"w0": [11, 12], "#held_out": [13]}
FAMILIES = {"w0": ["typical", "twin"]}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    folder = tmp_path / "kernels" / "double"
    folder.mkdir(parents=True)
    tensor = {"shape": ["m"], "dtype": "float32"}
    reference = "def run(x):\n    return x * 2\n"
    definition = {
        "name": "double", "op_type": "test", "axes": {"m": {"type": "var"}},
        "inputs": {"x": tensor}, "outputs": {"y": tensor}, "reference": reference,
    }  # fmt: skip
    workload = {"uuid": "w0", "axes": {"m": 4}, "inputs": {"x": {"type": "random"}}}
    (folder / "definition.json").write_text(json.dumps(definition))
    (folder / "reference.py").write_text(reference)
    line = json.dumps({"definition": "double", "workload": workload})
    (folder / "workloads.jsonl").write_text(line + "\n")
    return Dataset.load(tmp_path / "kernels", ())


class Service:
    """Judges nothing: remembers what it was asked, answers as it is told."""

    executor = Executor.INTERPRETER

    def __init__(self, status: Status, evidence: Evidence) -> None:
        self.status, self.evidence = status, evidence
        self.asked: list[EvaluationRequest] = []

    async def evaluate(self, request, wait_s, progress) -> Evaluated:
        self.asked.append(request)
        wrong = Failure(stage=Stage.CORRECTNESS, kind="wrong_values", message="m", remedy="r")
        failure = None if self.status is Status.PASSED else wrong
        return Evaluated(record(request.solution, self.status, self.evidence, failure=failure))


def evidence(**more) -> Evidence:
    device = DeviceInfo(name="cpu", executor=Executor.INTERPRETER)
    given = {"seeds": SEEDS, "families": FAMILIES, "device": device} | more
    return Evidence(started_at="2026-11-20T22:15:30+00:00", **given)


def record(solution: Solution, status: Status, evidence: Evidence, **more) -> Evaluation:
    return make_record(status, of=solution, evaluation_id=ID, evidence=evidence, **more)


@pytest.fixture
def solution() -> Solution:
    spec = {"language": "python", "target_hardware": ["cuda"], "entry_point": "main.py::run"}
    sources = [{"path": "main.py", "content": "def run(x, y):\n    y.copy_(x * 2)\n"}]
    return Solution.model_validate(
        {"name": "a", "definition": "double", "author": "t", "spec": spec, "sources": sources}
    )


def judged_again(service: Any, dataset: Dataset, first: Evaluation, *sources: Solution):
    return asyncio.run(rejudge(service, dataset.operator("double"), first, iter(sources)))


def test_the_recorded_sources_are_judged_again_with_the_seeds_of_the_record(dataset, solution):
    service = Service(Status.PASSED, evidence())
    first = record(solution, Status.PASSED, evidence())
    other = solution.model_copy(update={"sources": [changed(solution)]})
    found = judged_again(service, dataset, first, other, solution)
    (asked,) = service.asked
    assert asked.replay == first and asked.only == ("w0",) and asked.force
    assert asked.checks is not None and not asked.checks.timed and asked.baseline is None
    assert asked.solution.content_hash() == solution.content_hash()
    assert found.same_verdict and (found.draws, found.repeated) == (3, 3) and not found.notes


def changed(solution: Solution) -> Any:
    source = solution.sources[0]
    return source.model_copy(update={"content": source.content + "\n# changed\n"})


def test_a_record_on_other_inputs_is_judged_again_on_those(dataset, solution):
    """What is rewritten of its first inputs is drawn by the family of the plan."""
    even = evidence(checks={"input_family": "even"})
    service = Service(Status.PASSED, even)
    judged_again(service, dataset, record(solution, Status.PASSED, even), solution)
    assert service.asked[0].input_family == "even"


def test_another_verdict_is_told(dataset, solution):
    other = evidence(families={"w0": ["typical", "small"]})
    first = record(solution, Status.PASSED, evidence())
    found = judged_again(Service(Status.INCORRECT_NUMERICAL, other), dataset, first, solution)
    assert not found.same_verdict and (found.draws, found.repeated) == (3, 2)


def test_how_much_fitted_into_the_budget_is_no_other_verdict(solution):
    passed = record(solution, Status.PASSED, evidence())
    partial = record(solution, Status.PARTIAL, evidence(), partial_reason="no time for one")
    wrong = Failure(stage=Stage.CORRECTNESS, kind="wrong_values", message="m", remedy="r")
    failed = record(solution, Status.INCORRECT_NUMERICAL, evidence(), failure=wrong)
    assert Rejudged(passed, partial, 1, 1, ()).same_verdict
    assert not Rejudged(partial, failed, 1, 1, ()).same_verdict


def test_sources_that_are_gone_are_said_to_be_gone(dataset, solution):
    first = record(solution, Status.PASSED, evidence())
    other = solution.model_copy(update={"sources": [changed(solution)]})
    with pytest.raises(RequestError, match="are gone"):
        judged_again(Service(Status.PASSED, evidence()), dataset, first, other)


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        ({"seeds": {}}, RequestError, "no seed"),
        (
            {"device": DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA)},
            CapabilityError,
            "other inputs",
        ),
    ],
)
def test_what_cannot_be_repeated_here_is_refused(dataset, solution, facts, error, words):
    first = record(solution, Status.PASSED, evidence(**facts))
    with pytest.raises(error, match=words):
        judged_again(Service(Status.PASSED, evidence()), dataset, first, solution)


def test_draws_count_as_repeated_only_with_the_same_seed_and_family(solution):
    first = record(solution, Status.PASSED, evidence())
    other = evidence(seeds={"w0": [11, 99]}, families={"w0": ["typical", "twin"]})
    assert draws_repeated(first, record(solution, Status.PASSED, other)) == (3, 1)


def test_what_else_differs_is_named(dataset, solution):
    service = Service(Status.PASSED, evidence(versions={"torch": "2.14"}))
    flaky = Integrity(determinism="flaky")
    versions = evidence(versions={"torch": "2.13"})
    first = record(solution, Status.PASSED, versions, integrity=flaky)
    notes = judged_again(service, dataset, first, solution).notes
    assert "torch is 2.14, it was 2.13" in notes and any("flaky" in note for note in notes)
