"""From an archived candidate to its tag, with trials that are told beforehand how they end."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernel_harness.tools.archive.promotion.verification import REPEATS, PromotionVerifier
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.entry import gpu_label
from kernel_harness.tools.archive.store.normalise import normalised_hash
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.evaluation.plan import EvaluationRequest, promotion_checks
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.messages.judge import Ready
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
    WorkloadResult,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.schema.recognition import Recognition
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator
from tests.records import make_record

WRONG = Failure(stage=Stage.CORRECTNESS, kind="wrong_values", message="m", remedy="r")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    folder = tmp_path / "kernels" / "double"
    folder.mkdir(parents=True)
    tensor = {"shape": ["m"], "dtype": "float32"}
    definition = {
        "name": "double", "op_type": "test", "axes": {"m": {"type": "var"}},
        "inputs": {"x": tensor}, "outputs": {"y": tensor},
        "reference": "def run(x):\n    return x * 2\n",
    }  # fmt: skip
    (folder / "definition.json").write_text(json.dumps(definition))
    lines = [
        {
            "definition": "double",
            "workload": {"uuid": f"w{m}", "axes": {"m": m}, "inputs": {"x": {"type": "random"}}},
        }
        for m in (4, 8)
    ]
    (folder / "workloads.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Dataset.load(tmp_path / "kernels", ()).operator("double")


def solution(by: str) -> Solution:
    spec = {"language": "python", "target_hardware": ["cuda"], "entry_point": "main.py::run"}
    sources = [{"path": "main.py", "content": f"def run(x, y):\n    y.copy_(x * {by})\n"}]
    return Solution.model_validate(
        {
            "name": f"by-{by}",
            "definition": "double",
            "author": "t",
            "spec": spec,
            "sources": sources,
        }
    )


def record(number: int, of: Solution, status: Status = Status.PASSED) -> Evaluation:
    passed = status is Status.PASSED
    made = make_record(
        status,
        of=of,
        evaluation_id=f"ev-20261120-2215{number:02d}-00000000",
        scope=Scope.FULL,
        stage=Stage.DONE if passed else Stage.CORRECTNESS,
        failure=None if passed else WRONG,
        workloads=[
            WorkloadResult(uuid=f"w{m}", axes={"m": m}, status=status, calls_checked=150)
            for m in (4, 8)
        ],
        evidence=Evidence(
            started_at=f"2026-11-20T22:15:{number:02d}+00:00",
            seeds={"w4": [number], "w8": [number + 1]},
            device=DeviceInfo(name="cpu", executor=Executor.INTERPRETER),
        ),
        integrity=Integrity(checks=["held_out", "determinism", "launches_as_compiled"]),
    )
    return Keyring(Settings().signing_key, Path("/nonexistent")).signed(made)


@dataclass
class Trials:
    """Ends each trial as it is told; remembers what it was asked."""

    ends: list[Status]
    asked: list[EvaluationRequest] = field(default_factory=list)

    executor = Executor.INTERPRETER
    records: RecordStore = field(default_factory=lambda: RecordStore(Path("/nonexistent")))

    async def evaluate(self, request, wait_s, progress) -> Evaluated:
        self.asked.append(request)
        end = self.ends[len(self.asked) - 1]
        return Evaluated(record(30 + len(self.asked), request.solution, end))


class Judges:
    """Stands for a ProfilingService, of which only its pool of judges is asked."""

    def __init__(self, name: str) -> None:
        facts = {"name": name, "executor": "cuda"}
        self.pool = self
        self._is = Ready(device=facts, versions={}, isolation={"level": "strong"}, seconds=0.0)
        self._warm = False

    async def warm(self, device: str) -> Ready:
        self._warm = True
        return self._is

    def ready(self, device: str) -> Ready | None:
        return self._is if self._warm else None

    async def sanitize(self, *asked: object) -> SimpleNamespace:
        return SimpleNamespace(tool="compute-sanitizer", clean=True, runs=[])


class TimedTrials(Trials):
    """Ends each trial as passed on a GPU, sealed and faster; `of` makes the record of one."""

    executor = Executor.CUDA

    def __init__(self, of, records: RecordStore) -> None:
        super().__init__([], records=records)
        self._of = of

    async def evaluate(self, request, wait_s, progress) -> Evaluated:
        self.asked.append(request)
        number = len(self.asked)
        evidence = {"seeds": {"w-1": [number], "w-64": [-number]}}
        return Evaluated(self._of(f"ev-20260201-00000{number}-00000000", evidence))


@pytest.fixture
def archive(tmp_path: Path, keys):
    made = Archive(tmp_path / "archive", keys(tmp_path / "archive"))
    yield made
    made.close()


def archived(archive: Archive, operator: Operator, evaluation: Evaluation, of: Solution) -> str:
    added = archive.add(
        solution=of,
        evaluation=evaluation,
        definition=operator.definition,
        workloads=operator.workloads,
        hypothesis="Twice.",
    )
    return added.node.candidate_id


def verifier_of(archive: Archive, operator: Operator, trials: Trials) -> PromotionVerifier:
    return PromotionVerifier(
        archive,
        Dataset({operator.name: operator}),
        trials,  # pyright: ignore[reportArgumentType]
        None,  # pyright: ignore[reportArgumentType] - without a GPU nothing is inspected
        "cpu",
    )


def promoted(verifier: PromotionVerifier, candidate: str):
    return asyncio.run(verifier.promote(candidate))


def test_two_fresh_full_trials_are_asked_for_and_a_right_candidate_gets_its_tag(archive, operator):
    right, trials = solution("2"), Trials([Status.PASSED] * REPEATS)
    candidate = archived(archive, operator, record(1, right), right)
    decision = promoted(verifier_of(archive, operator, trials), candidate)
    assert decision.promoted and decision.track == "verified", decision.words
    assert len(trials.asked) == REPEATS
    for asked in trials.asked:
        assert asked.force and asked.scope is Scope.FULL and asked.replay is None
        assert asked.checks == promotion_checks(Executor.INTERPRETER)
    (tag,) = archive.repository.run("tag", "--list").split()
    assert "verified" in tag


def test_a_failed_verification_ends_at_once_and_is_a_refusal_with_its_number(archive, operator):
    flaky, trials = solution("2.0"), Trials([Status.INCORRECT_NUMERICAL])
    candidate = archived(archive, operator, record(1, flaky), flaky)
    decision = promoted(verifier_of(archive, operator, trials), candidate)
    assert not decision.promoted and len(trials.asked) == 1
    refused = {rule.name: rule for rule in decision.rules if rule.applied and not rule.passed}
    assert refused["all_workloads_passed"].number == 0
    assert refused["all_workloads_passed"].limit == 2
    assert not archive.repository.run("tag", "--list").split()


def test_what_no_verification_could_change_is_refused_without_one(archive, operator):
    wrong, right = solution("3"), solution("2")
    trials = Trials([Status.PASSED] * (REPEATS + 1))
    verifier = verifier_of(archive, operator, trials)
    failed = archived(archive, operator, record(1, wrong, Status.INCORRECT_NUMERICAL), wrong)
    decision = promoted(verifier, failed)
    assert not decision.promoted and "never_wrong" in decision.words and failed in decision.words
    best = archived(archive, operator, record(2, right), right)
    assert promoted(verifier, best).promoted
    again = promoted(verifier, best)
    assert not again.promoted and "is_new" in again.words
    assert len(trials.asked) == REPEATS


def test_a_verification_that_failed_is_archived_and_bars_the_program_from_another(
    archive, operator
):
    flaky = solution("2.0")
    commented = solution("2.0  # once more\n    ")
    trials = Trials([Status.INCORRECT_NUMERICAL, *[Status.PASSED] * REPEATS])
    verifier = verifier_of(archive, operator, trials)
    first = archived(archive, operator, record(1, flaky), flaky)
    second = archived(archive, operator, record(2, commented), commented)
    assert not promoted(verifier, first).promoted
    (failed,) = archive.children(first)
    assert failed.status == "INCORRECT_NUMERICAL"
    for candidate in (first, second):
        again = promoted(verifier, candidate)
        assert "never_wrong" in again.words and failed.candidate_id in again.words
    assert len(trials.asked) == 1


@pytest.mark.parametrize("same_bytes", [True, False])
def test_a_failure_that_was_recorded_and_never_archived_bars_a_promotion(
    archive, operator, tmp_path, same_bytes
):
    wrong, right = solution("2.0  # a comment\n    "), solution("2.0")
    records = RecordStore(tmp_path / "records")
    failed = record(1, right if same_bytes else wrong, Status.INCORRECT_NUMERICAL)
    records.write(failed)
    program = Recognition(program=normalised_hash(wrong))
    records.write_recognition(failed.evaluation_id, program)
    trials = Trials([Status.PASSED] * REPEATS, records=records)
    candidate = archived(archive, operator, record(2, right), right)
    decision = promoted(verifier_of(archive, operator, trials), candidate)
    assert not decision.promoted and failed.evaluation_id in decision.words
    assert trials.asked == []


def test_a_failure_that_nobody_signed_bars_nothing(archive, operator, tmp_path):
    right = solution("2.0")
    records = RecordStore(tmp_path / "records")
    said = record(1, right, Status.INCORRECT_NUMERICAL).model_copy(update={"signature": None})
    records.write(said)
    trials = Trials([Status.PASSED] * REPEATS, records=records)
    candidate = archived(archive, operator, record(2, right), right)
    assert promoted(verifier_of(archive, operator, trials), candidate).promoted


def test_a_failure_without_a_gpu_bars_no_promotion_on_one(
    bench, trial, definition, tmp_path, monkeypatch
):
    """Triton's interpreter may be at fault; on a CPU the same failure is final."""
    monkeypatch.setattr(Operator, "peers", lambda self: {"theirs": solution("3")})
    source = "def run(x, y):\n    y.copy_(x + x)\n"
    folder = tmp_path / "kernels" / definition.name
    folder.mkdir(parents=True)
    (folder / "definition.json").write_text(definition.model_dump_json())
    workloads = [
        {"uuid": f"w-{m}", "axes": {"m": m}, "inputs": {"x": {"type": "random"}}} for m in (1, 64)
    ]
    lines = [{"definition": definition.name, "workload": workload} for workload in workloads]
    (folder / "workloads.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    operator = Dataset.load(tmp_path / "kernels", ()).operator(definition.name)
    wrong = {"status": Status.INCORRECT_NUMERICAL, "gpu": None}
    records = RecordStore(tmp_path / "records")
    _, failed = trial("ev-20251231-000000-00000000", source, **wrong)
    records.write(failed)
    archived_failure = bench.add(source, **wrong)
    candidate = bench.add(source).candidate_id

    def of(evaluation_id, changes):
        at, clock = "2026-02-01T00:00:00+00:00", TimeSource.SEALED
        _, made = trial(evaluation_id, source, ratio=1.2, latency_us=8.0, at=at, clock=clock)
        checks = ["held_out", "determinism"]
        integrity = made.integrity.model_copy(update={"checks": checks})
        evidence = made.evidence.model_copy(update=changes)
        return made.model_copy(update={"integrity": integrity, "evidence": evidence})

    trials = TimedTrials(of, records)
    here = verifier_of(bench.archive, operator, trials)
    barred = promoted(here, candidate)
    assert "never_wrong" in barred.words and trials.asked == []
    assert archived_failure.candidate_id in barred.words
    decision = promoted(replace(here, device="cuda:0", profiling=Judges("NVIDIA H200")), candidate)
    assert decision.promoted and decision.track == "timed", decision.words
    assert decision.rules[-1].words == "beats 0 of 1 peers: not timed here: theirs"
    assert len(trials.asked) == REPEATS


def test_the_best_is_that_of_the_board_which_the_judge_sees(archive, operator, monkeypatch):
    """With CUDA_VISIBLE_DEVICES the first CUDA device need not be the driver's first."""
    verifier = replace(
        verifier_of(archive, operator, Trials([Status.INCORRECT_NUMERICAL])),
        device="cuda:0",
        profiling=Judges("NVIDIA B200"),
    )
    right, asked = solution("2"), []
    candidate = archived(archive, operator, record(1, right, Status.INCORRECT_NUMERICAL), right)

    def best(archive, definition, gpu):
        asked.append(gpu)

    monkeypatch.setattr("kernel_harness.tools.archive.promotion.verification.current_best", best)
    promoted(verifier, candidate)
    assert asked == [gpu_label("NVIDIA B200")]


def test_a_rollback_needs_a_reason(archive, operator):
    with pytest.raises(RequestError, match="reason"):
        verifier_of(archive, operator, Trials([])).rollback(operator.name, "  ")
