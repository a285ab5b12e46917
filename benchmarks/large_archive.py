"""A made-up archive of any size in minutes: candidates and trials as copies of a few of each kind.

The shape of the tree, latencies, ids, techniques and lessons are each candidate's own, as in
`made_up_archive`; sources and record are those of one of some hundred patterns, so that neither git
nor the benchmark works for hours. Refs are packed, and rows go into the index as reading git would
have put them: what is timed afterwards does not read the old commits again.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from made_up_archive import (
    OPERATORS,
    START,
    TECHNIQUES,
    WORKLOADS,
    Made,
    definition,
    evaluation,
    grow,
    solution,
)

from kernel_harness.tools.archive.git.configuration import our_environment
from kernel_harness.tools.archive.store import manifest as form
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.commit.tree import judged_files
from kernel_harness.tools.archive.store.entry import Node, facts_of
from kernel_harness.tools.archive.store.manifest import CandidateManifest
from kernel_harness.tools.archive.store.trials.commits import trial_ref
from kernel_harness.tools.archive.store.trials.table import TrialRow

PATTERNS = 12
"""Of each operator, and as many that failed."""
BATCH = 2_000
DAYS = 200
"""Over which the trials are spread."""
_WHO = b"kernel-harness <kernel-harness@localhost> %d +0000"


@dataclass(frozen=True)
class Pattern:
    """A candidate that others are copies of: its tree in git, and its line of the index."""

    tree: str
    node: Node


def build_large(archive: Archive, count: int, seed: int = 1) -> float:
    """Fills an archive with candidates and as many open trials; returns the seconds taken."""
    began = time.perf_counter()
    archive.repository.create()
    rng = random.Random(seed)
    patterns = {
        (operator, failed): [_pattern(archive, operator, failed, n, rng) for n in range(PATTERNS)]
        for operator in OPERATORS
        for failed in (False, True)
    }
    refs: dict[str, str] = {}
    command = ["git", "--git-dir", str(archive.repository.path), "fast-import", "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=our_environment()) as importer:
        assert importer.stdin is not None
        for commands, nodes, trials in _batches(count, seed, patterns, rng):
            importer.stdin.write(commands)
            archive.synced.index.add(nodes)
            archive.trials.table.add(archive.synced.index, trials)
            refs |= {node.ref: node.commit for node in nodes}
            refs |= {trial.ref: trial.oid for trial in trials}
        importer.stdin.close()
    if importer.returncode:
        raise SystemExit("git fast-import failed")
    lines = [f"{oid} {ref}\n" for ref, oid in sorted(refs.items())]
    packed = "# pack-refs with: peeled fully-peeled sorted \n" + "".join(lines)
    (archive.repository.path / "packed-refs").write_text(packed, encoding="ascii")
    (archive.repository.path / "refs/heads/made_up").unlink(missing_ok=True)
    if archive.repository.resolve(lines[-1].split()[1]) is None:
        raise SystemExit("git has no such commit as the index has")
    return time.perf_counter() - began


def _pattern(
    archive: Archive, operator: str, failed: bool, number: int, rng: random.Random
) -> Pattern:
    made = Made(number, operator, (), None if failed else rng.uniform(5, 20))
    found = solution(made, rng)
    record = archive.keys.signed(evaluation(made, found, rng))
    manifest = CandidateManifest.describe(
        found,
        record,
        definition(operator),
        hypothesis=f"Change {number} should cut traffic.",
        lesson="",
        tags=(),
        workload_count=WORKLOADS,
    )
    facts = facts_of(record, archive.keys.verify_record(record), WORKLOADS)
    files = judged_files(manifest, record, {s.path: s.content for s in found.sources})
    return Pattern(archive.repository.write_tree(files), manifest.node(facts, "", "", (), {}))


def _batches(
    count: int,
    seed: int,
    patterns: dict[tuple[str, bool], list[Pattern]],
    rng: random.Random,
) -> Iterator[tuple[bytes, list[Node], list[TrialRow]]]:
    commits: dict[int, str] = {}
    commands, nodes, trials = bytearray(), list[Node](), list[TrialRow]()
    for made in grow(count, seed):
        pattern = rng.choice(patterns[made.operator, made.latency_us is None])
        message = f"{made.operator} {made.number}\n".encode()
        parents = [commits[number] for number in made.parents]
        at = START + 60 * made.number
        oid, said = _commit(pattern.tree, parents, made.parents, at, message, made.number + 1)
        commits[made.number] = oid
        nodes.append(_node(pattern.node, made, oid, [p[:12] for p in parents], rng))
        commands += said
        at = START + 86_400 * (made.number % DAYS) + made.number // DAYS
        trial = b"trial\n" + message
        oid, said = _commit(pattern.tree, parents[:1], made.parents[:1], at, trial)
        trials.append(_trial(nodes[-1], oid, at, made.number))
        commands += said
        if len(nodes) >= BATCH:
            yield bytes(commands), nodes, trials
            commands, nodes, trials = bytearray(), [], []
    yield bytes(commands), nodes, trials


def _commit(
    tree: str, parents: list[str], marks: tuple[int, ...], at: int, message: bytes, mark: int = 0
) -> tuple[str, bytes]:
    """The id of a commit, and the commands that have git write it."""
    who = _WHO % at
    head = "".join([f"tree {tree}\n", *(f"parent {parent}\n" for parent in parents)]).encode()
    content = head + b"author " + who + b"\ncommitter " + who + b"\n\n" + message
    oid = hashlib.sha1(b"commit %d\0" % len(content) + content).hexdigest()
    said = b"reset refs/heads/made_up\ncommit refs/heads/made_up\n"
    said += (b"mark :%d\n" % mark if mark else b"") + b"author " + who
    said += b"\ncommitter " + who + b"\ndata %d\n" % len(message) + message
    for word, number in zip((b"from", b"merge"), marks, strict=False):
        said += b"%s :%d\n" % (word, number + 1)
    return oid, said + f'M 040000 {tree} ""\n\n'.encode()


def _node(pattern: Node, made: Made, oid: str, parents: list[str], rng: random.Random) -> Node:
    scale = (made.latency_us or 1.0) / (pattern.latency_us or 1.0)
    return replace(
        pattern,
        candidate_id=oid[:12],
        commit=oid,
        ref=f"refs/candidates/{form.ref_part(pattern.definition)}/{oid[:12]}",
        parents=tuple(parents),
        name=f"{made.operator}_{made.number}",
        latency_us=made.latency_us,
        regimes=tuple(
            replace(fact, latency_us=fact.latency_us * scale if fact.latency_us else None)
            for fact in pattern.regimes
        ),
        at=START + 60 * made.number,
        evaluation_id=f"bench-{made.number}",
        content_hash=hashlib.sha256(oid.encode()).hexdigest(),
        normalised_hash=hashlib.sha256(b"n" + oid.encode()).hexdigest(),
        technique=tuple(rng.sample(TECHNIQUES, rng.choice([1, 1, 2]))),
        hypothesis=f"Change {made.number} should cut traffic.",
        lesson=rng.choice(["Occupancy was not the limit.", "Two waves are enough.", ""]),
    )


def _trial(node: Node, oid: str, at: int, number: int) -> TrialRow:
    day = time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))
    name = f"ev-{day}-{number:08x}"
    return TrialRow(
        name=name,
        ref=trial_ref(node.definition, name),
        oid=oid,
        definition=node.definition,
        content_hash=hashlib.sha256(oid.encode()).hexdigest(),
        hardware="NVIDIA H200",
        scope=node.scope,
        status=node.status,
        latency_us=node.latency_us,
        started_from=node.parents[0] if node.parents else "",
        at=at,
    )
