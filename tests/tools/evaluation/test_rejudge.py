"""A recorded verdict is asked for again from its sources and seeds, or refused with a reason."""

import asyncio
import json
from pathlib import Path

import pytest

from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.errors import CapabilityError, RequestError
from kernel_harness.tools.evaluation.record_store import RecordStore
from kernel_harness.tools.evaluation.rejudge import ReplayService, draws_repeated
from kernel_harness.tools.evaluation.service import EvaluateRequest
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Failure,
    Integrity,
    Scope,
    Stage,
    Status,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.workspace import create

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

    def __init__(self, status: Status, evidence: Evidence) -> None:
        self.status, self.evidence = status, evidence
        self.asked: list[EvaluateRequest] = []

    async def evaluate(self, request, device, wait_s, progress) -> Evaluation:
        self.asked.append(request)
        wrong = Failure(stage=Stage.CORRECTNESS, kind="wrong_values", message="m", remedy="r")
        failure = None if self.status is Status.PASSED else wrong
        return record(request.solution, self.status, self.evidence, failure=failure)


def evidence(**more) -> Evidence:
    device = DeviceInfo(name="cpu", executor=Executor.INTERPRETER)
    given = {"seeds": SEEDS, "families": FAMILIES, "device": device} | more
    return Evidence(started_at="2026-11-20T22:15:30+00:00", **given)


def record(solution: Solution, status: Status, evidence: Evidence, **more) -> Evaluation:
    return Evaluation(
        evaluation_id=ID, definition="double", solution_name=solution.name, language="python",
        content_hash=solution.content_hash(), workload_digest="d", scope=Scope.SAMPLE,
        status=status, stage=Stage.DONE, evidence=evidence, **more,
    )  # fmt: skip


@pytest.fixture
def solution() -> Solution:
    spec = {"language": "python", "target_hardware": ["cuda"], "entry_point": "main.py::run"}
    sources = [{"path": "main.py", "content": "def run(x, y):\n    y.copy_(x * 2)\n"}]
    return Solution.model_validate(
        {"name": "a", "definition": "double", "author": "t", "spec": spec, "sources": sources}
    )


@pytest.fixture
def replaying(tmp_path: Path, dataset: Dataset):
    def made(service: Service) -> ReplayService:
        return ReplayService(
            evaluations=service,  # pyright: ignore[reportArgumentType]
            records=RecordStore(tmp_path / "records"),
            archive=Archive(tmp_path / "archive"),
            dataset=dataset,
            workspaces_dir=tmp_path / "workspaces",
            device="cpu",
        )

    return made


def test_archived_sources_are_judged_again_with_the_seeds_of_the_record(
    replaying, dataset, solution
):
    service = Service(Status.PASSED, evidence())
    room = replaying(service)
    first = record(solution, Status.PASSED, evidence())
    room.records.write(first)
    room.archive.add(
        solution=solution, evaluation=first, hypothesis="h",
        definition=dataset.operator("double").definition,
    )  # fmt: skip
    found = asyncio.run(room.rejudge(ID))
    (asked,) = service.asked
    assert asked.replay == first and asked.only == ("w0",) and asked.force
    assert asked.checks is not None and not asked.checks.timed and asked.baseline is None
    assert asked.solution.content_hash() == solution.content_hash()
    assert found.same_verdict and (found.draws, found.repeated) == (3, 3) and not found.notes


def test_sources_are_found_in_a_workspace_and_another_verdict_is_told(
    replaying, dataset, solution, tmp_path
):
    room = replaying(
        Service(Status.INCORRECT_NUMERICAL, evidence(families={"w0": ["typical", "small"]}))
    )
    create(tmp_path / "workspaces", dataset.operator("double"), "mine", solution, "elsewhere")
    room.records.write(record(solution, Status.PASSED, evidence()))
    found = asyncio.run(room.rejudge(ID))
    assert not found.same_verdict and (found.draws, found.repeated) == (3, 2)


def test_sources_that_are_gone_are_said_to_be_gone(replaying, solution):
    room = replaying(Service(Status.PASSED, evidence()))
    room.records.write(record(solution, Status.PASSED, evidence()))
    with pytest.raises(RequestError, match="are gone"):
        asyncio.run(room.rejudge(ID))


def test_a_workspace_that_was_changed_since_is_refused(replaying, dataset, solution, tmp_path):
    room = replaying(Service(Status.PASSED, evidence()))
    made = create(tmp_path / "workspaces", dataset.operator("double"), "mine", solution, "x")
    Path(made.path, "main.py").write_text("def run(x, y):\n    y.copy_(x + x)\n")
    room.records.write(record(solution, Status.PASSED, evidence()))
    with pytest.raises(RequestError, match="other sources"):
        asyncio.run(room.rejudge(ID, "mine"))


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"seeds": {}}, RequestError, "no seed"),
        (
            {"device": DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA)},
            CapabilityError,
            "other inputs",
        ),
    ],
)
def test_what_cannot_be_repeated_here_is_refused(replaying, solution, changed, error, words):
    room = replaying(Service(Status.PASSED, evidence()))
    room.records.write(record(solution, Status.PASSED, evidence(**changed)))
    with pytest.raises(error, match=words):
        asyncio.run(room.rejudge(ID))


def test_draws_count_as_repeated_only_with_the_same_seed_and_family(solution):
    first = record(solution, Status.PASSED, evidence())
    other = evidence(seeds={"w0": [11, 99]}, families={"w0": ["typical", "twin"]})
    assert draws_repeated(first, record(solution, Status.PASSED, other)) == (3, 1)


def test_what_else_differs_is_named(replaying, solution, tmp_path, dataset):
    room = replaying(Service(Status.PASSED, evidence(versions={"torch": "2.14"})))
    create(tmp_path / "workspaces", dataset.operator("double"), "mine", solution, "x")
    flaky = Integrity(determinism="flaky")
    versions = evidence(versions={"torch": "2.13"})
    room.records.write(record(solution, Status.PASSED, versions, integrity=flaky))
    notes = asyncio.run(room.rejudge(ID)).notes
    assert "torch is 2.14, it was 2.13" in notes and any("flaky" in note for note in notes)
