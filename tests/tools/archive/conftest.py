"""Small made-up trials: an operator, a solution and the record of its evaluation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.archive.store.archive import Archive, StoredCandidate
from kernel_harness.tools.archive.store.entry import Node
from kernel_harness.tools.schema.drawn_inputs import HeldOutResult
from kernel_harness.tools.schema.evaluation import (
    UNFAILED,
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Failure,
    Integrity,
    OutputError,
    Scope,
    Stage,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution, Workload
from kernel_harness.tools.schema.measurement import (
    Comparison,
    Decision,
    Measurement,
    TimeSource,
    Totals,
)
from kernel_harness.tools.schema.search.made_by import NOBODY, MadeBy
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import BEFORE_SIGNING, Keyring, Verification
from tests.records import make_record


def keys_of(root: Path) -> Keyring:
    """This machine's keys, for the archive at a folder."""
    return Keyring(Settings().signing_key, root)


REFERENCE = "import torch\n\n\ndef run(x):\n    return (x.float() * 2,)\n"


def make_definition(name: str = "scale_n64", op_type: str = "scale") -> Definition:
    """An operator with one varying axis."""
    return Definition.model_validate(
        {
            "name": name,
            "op_type": op_type,
            "axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 64}},
            "inputs": {"x": {"shape": ["m", "n"], "dtype": "bfloat16"}},
            "outputs": {"y": {"shape": ["m", "n"], "dtype": "float32"}},
            "reference": REFERENCE,
        }
    )


def make_workloads() -> list[Workload]:
    """A small and a large workload."""
    return [
        Workload.model_validate(
            {"uuid": f"w-{m}", "axes": {"m": m}, "inputs": {"x": {"type": "random"}}}
        )
        for m in (1, 64)
    ]


def make_solution(
    source: str = "def run(x, y):\n    y.copy_(x * 2)\n",
    *,
    name: str = "scale_v1",
    definition: str = "scale_n64",
    language: str = "triton",
    path: str = "kernel.py",
) -> Solution:
    """A solution of one file."""
    return Solution.model_validate(
        {
            "name": name,
            "definition": definition,
            "author": "tests",
            "spec": {
                "language": language,
                "target_hardware": ["cuda"],
                "entry_point": f"{path}::run",
                "dependencies": [],
                "destination_passing_style": True,
                "binding": None,
            },
            "sources": [{"path": path, "content": source}],
        }
    )


def make_comparison(ratio: float, width: float = 0.004) -> Comparison:
    """A paired ratio with a narrow interval."""
    low, high = ratio * (1 - width), ratio * (1 + width)
    decision = Decision.FASTER if low > 1.01 else Decision.SLOWER if high < 0.99 else Decision.EQUAL
    return Comparison(
        ratio=ratio,
        interval=(low, high),
        confidence=0.95,
        pairs=20,
        wins=20 if ratio > 1 else 0,
        sign_p=1e-6,
        threshold=1.01,
        decision=decision,
    )


def make_evaluation(
    solution: Solution,
    evaluation_id: str,
    *,
    latency_us: float | None = 10.0,
    ratio: float = 1.0,
    status: Status = Status.PASSED,
    scope: Scope = Scope.FULL,
    gpu: str | None = "NVIDIA H200",
    at: str = "2026-01-01T00:00:00+00:00",
    failure: Failure | None = None,
    baseline_hash: str = "ba5e",
    partial_reason: str | None = None,
    clock: TimeSource = TimeSource.CLAIMED,
    clock_reason: str | None = None,
    errors: Sequence[OutputError] = (),
    regime_latencies: dict[str, float] | None = None,
    **changes: Any,
) -> Evaluation:
    """A record; `latency_us` of the small workload, twice that of the large one."""
    passed = status is Status.PASSED
    timed = passed and latency_us is not None and gpu is not None
    results = []
    for uuid, m, factor, regime in (("w-1", 1, 1.0, "small"), ("w-64", 64, 2.0, "large")):
        time = (regime_latencies or {}).get(regime, (latency_us or 0.0) * factor)
        results.append(
            WorkloadResult(
                uuid=uuid,
                axes={"m": m},
                status=status,
                regime=regime,
                calls_checked=100,
                errors=list(errors),
                latency_us=time if timed else None,
                latency_interval_us=(time * 0.99, time * 1.01) if timed else None,
                baseline_latency_us=time * ratio if timed else None,
                speedup=ratio if timed else None,
                comparison=make_comparison(ratio) if timed else None,
                floors_us={"H200": 1.0 * factor},
                sol_percent=100 * factor / time if timed else None,
                measurement=Measurement(
                    timer="cupti",
                    cold_ns=[int(time * 1000)] * 5,
                    clock=clock,
                    clock_reason=clock_reason,
                )
                if timed
                else None,
            )
        )
    if failure is None and status not in UNFAILED:
        failure = Failure(
            stage=Stage.CORRECTNESS,
            kind="wrong_values",
            message="Output 'y' differs at [3, 7]: expected 1.5, got 0.25",
            remedy="Check the tail of the loop.",
            excerpt="AssertionError: tail",
        )
    totals = Totals(
        passed=2 if passed else 0,
        failed=0 if passed else 2,
        mean_latency_us=(latency_us or 0) * 1.5 if timed else None,
        baseline_mean_latency_us=(latency_us or 0) * 1.5 * ratio if timed else None,
        geometric_mean_ratio=ratio if timed else None,
        ratio_of_means=ratio if timed else None,
        ratio_interval=(ratio * 0.996, ratio * 1.004) if timed else None,
        wins=2 if timed and ratio > 1.01 else 0,
    )
    device = DeviceInfo(name=gpu or "cpu", executor=Executor.CUDA if gpu else Executor.INTERPRETER)
    record = make_record(
        status,
        of=solution,
        evaluation_id=evaluation_id,
        workload_digest="d1",
        scope=scope,
        stage=Stage.DONE if passed else Stage.CORRECTNESS,
        failure=failure,
        workloads=results,
        totals=totals,
        baseline="plain" if timed else None,
        baseline_hash=baseline_hash if timed else None,
        partial_reason=partial_reason,
        evidence=Evidence(
            device=device,
            started_at=at,
            seconds={"total": 10.0},
            seeds={"w-1": [1, 2], "w-64": [3, 4]},
            versions={"kernel_harness": "0.1.0"},
        ),
        integrity=Integrity(checks=["poisoned_outputs", "held_out"], determinism="bitwise"),
        held_out=HeldOutResult(called=71, uniform=59, chance=0.9515),
    )
    return record.model_copy(update=changes)


@dataclass
class Bench:
    """An archive and a short way to add trials to it; `keys` sign their records."""

    archive: Archive
    keys: Keyring | None = None

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def add(self, source: str | None = None, **trial: Any) -> Node:
        """Archives one made-up trial; see `store`."""
        return self.store(source, **trial).node

    def store(
        self,
        source: str | None = None,
        *,
        parents: Sequence[str] | None = None,
        technique: Sequence[str] = (),
        hypothesis: str = "Fewer bytes.",
        lesson: str | None = None,
        definition: str = "scale_n64",
        op_type: str = "scale",
        profiles: dict[str, bytes] | None = None,
        evaluation_id: str | None = None,
        name: str | None = None,
        language: str = "triton",
        path: str = "kernel.py",
        plan: str = "",
        made_by: MadeBy = NOBODY,
        **record: Any,
    ) -> StoredCandidate:
        """Archives one made-up trial; each is dated a minute after the one before."""
        number = next(self._numbers)
        text = source or f"def run(x, y):\n    y.copy_(x * 2 + {number} * 0)\n"
        solution = make_solution(
            text, name=name or f"v{number}", definition=definition, language=language, path=path
        )
        record.setdefault("at", f"2026-01-01T{number // 60:02d}:{number % 60:02d}:00+00:00")
        evaluation = make_evaluation(solution, evaluation_id or f"e{number}", **record)
        evaluation = (self.keys or self.archive.keys).signed(evaluation)
        return self.archive.add(
            solution=solution,
            evaluation=evaluation,
            definition=make_definition(definition, op_type),
            workloads=make_workloads(),
            hypothesis=hypothesis,
            lesson=lesson,
            parents=parents,
            tags=technique,
            profiles=profiles,
            plan=plan,
            made_by=made_by,
        )


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An empty archive."""
    found = Archive(tmp_path / "archive", keys_of(tmp_path / "archive"))
    yield found
    found.close()


@pytest.fixture
def bench(archive: Archive) -> Bench:
    """An empty archive with a short way to fill it."""
    return Bench(archive)


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """An archive that is filled once for all tests of a module, which only read it."""
    root = tmp_path_factory.mktemp("shared") / "archive"
    shared = Archive(root, keys_of(root))
    yield Bench(shared)
    shared.close()


@pytest.fixture
def trial() -> Callable[..., tuple[Solution, Evaluation]]:
    """Makes a solution and its record."""

    def make(evaluation_id: str = "e1", source: str | None = None, **record: Any):
        solution = make_solution(source) if source else make_solution()
        evaluation = make_evaluation(solution, evaluation_id, **record)
        return solution, keys_of(Path("/nonexistent")).signed(evaluation)

    return make


@pytest.fixture(scope="session")
def bench_class() -> type[Bench]:
    """For tests that share one archive."""
    return Bench


@pytest.fixture
def workloads() -> list[Workload]:
    """The workloads of every made-up operator."""
    return make_workloads()


@pytest.fixture
def definition() -> Definition:
    """The operator of every made-up trial that names no other."""
    return make_definition()


class EarlierVersion(Keyring):
    """Signs nothing and takes everything for signed, as the versions before signatures."""

    def sign(self, purpose: str, content: bytes) -> str | None:
        return None

    def verify(self, signature: str | None, purpose: str, content: bytes) -> Verification:
        return BEFORE_SIGNING


@pytest.fixture
def keys() -> Callable[[Path], Keyring]:
    """Makes the keys of this machine for the archive at a folder."""
    return keys_of


@pytest.fixture
def earlier_version(tmp_path: Path) -> Keyring:
    """Keys of a version that signs nothing."""
    return EarlierVersion(tmp_path / "none", tmp_path)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Keyring]:
    """Makes the keys of another machine by its name."""
    return lambda name: Keyring(tmp_path / name / "signing_key", tmp_path / name / "archive")


@pytest.fixture
def opened_old(archive: Archive) -> Callable[[Path], Archive]:
    """Fills an archive from a bundle as versions before signatures left it, and opens it."""

    def open_old(bundle: Path) -> Archive:
        archive.repository.create()
        archive.repository.run("fetch", "-q", str(bundle), "refs/*:refs/*")
        archive.keys.note_unsigned(archive.object_ids, archive.root / "evaluations")
        return archive

    return open_old
