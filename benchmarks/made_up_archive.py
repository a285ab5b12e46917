"""An archive of made-up candidates of any size, written as the archive itself would write it.

A seeded tree of trials over five operators, half of them on one, each with its record, sources,
traces and notes, is written by git fast-import.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kernel_harness.tools.archive.git.configuration import (
    NOBODY,
    UserConfiguration,
    our_environment,
)
from kernel_harness.tools.archive.git.repository import Repository
from kernel_harness.tools.archive.store import manifest as form
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.commit.message import commit_message
from kernel_harness.tools.archive.store.commit.tree import tree_files
from kernel_harness.tools.archive.store.entry import facts_of
from kernel_harness.tools.archive.store.manifest import CandidateManifest
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Failure,
    Scope,
    Stage,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution, Workload
from kernel_harness.tools.schema.measurement import Comparison, Decision, Measurement, Totals
from kernel_harness.tools.signing.keyring import Keyring
from kernel_harness.tools.signing.signature import CANDIDATE

OPERATORS = ("decode", "prefill", "attention", "indexer", "experts")
TECHNIQUES = (
    "split-k", "persistent", "tma", "vectorise", "warp-specialise", "fuse-epilogue", "swizzle",
    "double-buffer", "fp8-accumulate", "unroll", "recompute", "cooperative-groups",
)  # fmt: skip
FAILURES = (
    (Status.INCORRECT_NUMERICAL, "wrong_values", "Output 'y' differs at [{n}, 7]: {n}.5 for 1.0"),
    (Status.COMPILE_ERROR, "compile_error", "ptxas needs {n} bytes of shared memory"),
    (Status.RUNTIME_ERROR, "crash", "An illegal memory access at 0x{n}"),
    (Status.TIMEOUT, "hang", "No answer within {n} s"),
)
WORKLOADS = 20
SAMPLES = 20
START = 1_767_225_600


@dataclass
class Made:
    """One made-up candidate, before and after it has an id."""

    number: int
    operator: str
    parents: tuple[int, ...]
    latency_us: float | None
    commit: str = ""


def definition(operator: str) -> Definition:
    """A made-up operator of its own family."""
    return Definition.model_validate(
        {
            "name": f"{operator}_h8_d128",
            "op_type": "attention" if operator in ("decode", "prefill") else operator,
            "axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 128}},
            "inputs": {"x": {"shape": ["m", "n"], "dtype": "bfloat16"}},
            "outputs": {"y": {"shape": ["m", "n"], "dtype": "float32"}},
            "reference": "def run(x):\n    return (x * 2,)\n",
        }
    )


def workloads() -> list[Workload]:
    """Twenty workloads of growing size."""
    return [
        Workload.model_validate(
            {"uuid": f"w-{i:04d}", "axes": {"m": 2**i % 4093 + 1}, "inputs": {"x": {}}}
        )
        for i in range(WORKLOADS)
    ]


def solution(made: Made, rng: random.Random) -> Solution:
    """A hundred lines of source, most of them its parent's."""
    shared = "\n".join(f"    a{i} = load(x + {i})" for i in range(90))
    own = "\n".join(f"    b{i} = {rng.randrange(1_000)}" for i in range(10))
    source = f"def run(x, y):\n{shared}\n{own}\n    y.copy_(x * {made.number})\n"
    return Solution.model_validate(
        {
            "name": f"{made.operator}_{made.number}",
            "definition": definition(made.operator).name,
            "author": "benchmark",
            "spec": {
                "language": "triton",
                "target_hardware": ["cuda"],
                "entry_point": "kernel.py::run",
            },
            "sources": [{"path": "kernel.py", "content": source}],
        }
    )


def evaluation(made: Made, found: Solution, rng: random.Random) -> Evaluation:
    """A record of full size: every workload with its raw samples."""
    failure = None
    status = Status.PASSED
    if made.latency_us is None:
        status, kind, words = rng.choice(FAILURES)
        message = words.format(n=rng.randrange(10_000))
        failure = Failure(stage=Stage.CORRECTNESS, kind=kind, message=message, remedy="Look.")
    results = []
    for i, workload in enumerate(workloads()):
        time_us = (made.latency_us or 0.0) * (1 + i / 4)
        samples = [int(time_us * 1e3 * rng.uniform(0.99, 1.01)) for _ in range(SAMPLES)]
        timed = made.latency_us is not None
        ratio = 20 * (1 + i / 4) / time_us if timed else 1.0
        results.append(
            WorkloadResult(
                uuid=workload.uuid,
                axes=workload.axes,
                status=status,
                regime=("small", "middle", "large")[i * 3 // WORKLOADS],
                calls_checked=12,
                weight=1 / WORKLOADS,
                latency_us=time_us if timed else None,
                latency_interval_us=(time_us * 0.99, time_us * 1.01) if timed else None,
                baseline_latency_us=20 * (1 + i / 4) if timed else None,
                speedup=ratio if timed else None,
                floors_us={"device": 1 + i / 4, "B200": 0.6 + i / 4},
                sol_percent=100 * (1 + i / 4) / time_us if timed else None,
                comparison=_comparison(ratio) if timed else None,
                measurement=Measurement(timer="cupti", cold_ns=samples) if timed else None,
            )
        )
    return Evaluation(
        evaluation_id=f"bench-{made.number}",
        definition=found.definition,
        solution_name=found.name,
        language="triton",
        content_hash=found.content_hash(),
        workload_digest="benchmark",
        scope=Scope.FULL,
        status=status,
        stage=Stage.DONE if status is Status.PASSED else Stage.CORRECTNESS,
        failure=failure,
        workloads=results,
        totals=_totals(made),
        baseline="plain",
        baseline_hash="0" * 64,
        evidence=Evidence(
            device=DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132),
            started_at=time.strftime(
                "%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(START + 60 * made.number)
            ),
            seconds={"total": 9.0},
        ),
    )


def _comparison(ratio: float) -> Comparison:
    return Comparison(
        ratio=ratio,
        interval=(ratio * 0.995, ratio * 1.005),
        confidence=0.95,
        pairs=SAMPLES,
        wins=SAMPLES,
        sign_p=1e-6,
        threshold=1.01,
        decision=Decision.FASTER if ratio > 1.01 else Decision.SLOWER,
    )


def _totals(made: Made) -> Totals:
    if made.latency_us is None:
        return Totals(failed=WORKLOADS)
    mean = made.latency_us * (1 + (WORKLOADS - 1) / 8)
    ratio = 20 / made.latency_us
    return Totals(
        passed=WORKLOADS,
        mean_latency_us=mean,
        estimated_full_mean_us=mean,
        baseline_mean_latency_us=20 * (1 + (WORKLOADS - 1) / 8),
        geometric_mean_ratio=ratio,
        ratio_interval=(ratio * 0.995, ratio * 1.005),
    )


def grow(count: int, seed: int) -> Iterator[Made]:
    """A tree as a search makes it: mostly from good candidates, a few from anywhere."""
    rng = random.Random(seed)
    timed: dict[str, list[Made]] = {name: [] for name in OPERATORS}
    for n in range(count):
        operator = OPERATORS[0] if rng.random() < 0.5 else rng.choice(OPERATORS)
        known = timed[operator]
        parents: list[Made] = []
        if len(known) > 2 and rng.random() > 0.01:
            parents = [rng.choice(known[-20:] if rng.random() < 0.8 else known)]
            if rng.random() < 0.03:
                parents.append(rng.choice(known[-20:]))
        base = min((p.latency_us or 20.0 for p in parents), default=20.0)
        failed = rng.random() < 0.35
        latency = None if failed else max(2.0, base * rng.lognormvariate(0.0, 0.06))
        made = Made(n, operator, tuple({p.number for p in parents}), latency)
        if not failed:
            known.append(made)
        yield made


class _Hashing(Repository):
    """Writes nothing: computes object ids and keeps the blobs of the commit at hand."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.blobs: dict[str, bytes] = {}
        self.commit = b""

    def user_configuration(self) -> UserConfiguration:
        return NOBODY

    def write_object(self, kind: str, content: bytes) -> str:
        oid = hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()
        if kind == "blob":
            self.blobs[oid] = content
        elif kind == "commit":
            self.commit = content
        return oid


def build(archive: Archive, count: int, seed: int = 1) -> float:
    """Fills an archive by fast-import, as `Archive.add` would have; returns the seconds taken."""
    began = time.perf_counter()
    archive.repository.create()
    command = ["git", "--git-dir", str(archive.repository.path), "fast-import", "--quiet"]
    hashing = _Hashing(archive.repository.path)
    rng = random.Random(seed)
    made: dict[int, Made] = {}
    environment = our_environment()
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as importer:
        assert importer.stdin is not None
        for item in grow(count, seed):
            made[item.number] = item
            importer.stdin.write(_commands(hashing, archive.keys, item, made, rng))
        importer.stdin.close()
    last = made[count - 1]
    ref = f"refs/candidates/{form.ref_part(definition(last.operator).name)}/{last.commit[:12]}"
    if importer.returncode or archive.repository.resolve(ref) != last.commit:
        raise SystemExit("git fast-import failed, or made other commits than the archive would")
    return time.perf_counter() - began


def _commands(
    hashing: _Hashing, keys: Keyring, item: Made, made: dict[int, Made], rng: random.Random
) -> bytes:
    found = solution(item, rng)
    record = keys.signed(evaluation(item, found, rng))
    manifest = CandidateManifest.describe(
        found,
        record,
        definition(item.operator),
        hypothesis=f"Change {item.number} should cut traffic.",
        lesson=rng.choice(["Occupancy was not the limit.", "Two waves are enough.", ""]),
        tags=rng.sample(TECHNIQUES, rng.choice([1, 1, 2])),
        workload_count=WORKLOADS,
    )
    facts = facts_of(record, keys.verify_record(record), WORKLOADS)
    files = tree_files(manifest, facts, record, {"kernel.py": found.sources[0].content}, [], {})
    hashing.blobs.clear()
    tree = hashing.write_tree(files)
    parents = [made[n].commit for n in item.parents]
    message = commit_message(manifest, facts, record, [p[:12] for p in parents])
    at = facts.at
    sign = partial(keys.sign, CANDIDATE)
    item.commit = hashing.write_commit(tree, parents, message, at, sign)
    ref = f"refs/candidates/{form.ref_part(manifest.definition)}/{item.commit[:12]}"
    who = f"kernel-harness <kernel-harness@localhost> {at} +0000"
    data = hashing.commit.partition(b"\n\n")[2]
    lines = [b"blob\ndata %d\n%s\n" % (len(blob), blob) for blob in hashing.blobs.values()]
    head = f"commit {ref}\nmark :{item.number + 1}\nauthor {who}\ncommitter {who}\n"
    lines.append(f"{head}data {len(data)}\n".encode() + data)
    lines += [
        f"{word} :{number + 1}\n".encode()
        for word, number in zip(["from", "merge"], item.parents, strict=False)
    ]
    lines.append(b"deleteall\n")
    for path, content in files.items():
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        lines.append(f"M 100644 {oid} {path}\n".encode())
    return b"".join(lines) + b"\n"
