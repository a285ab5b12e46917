"""The archive as git sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.archive.report.terminal import log
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.commit.message import read_trailers
from kernel_harness.tools.errors import ArchiveError, RequestError
from kernel_harness.tools.schema.evaluation import Status

HERE = Path(__file__).parents[1]


def git(archive: Archive, *words: str) -> str:
    """Plain git, as a reviewer would run it."""
    command = ["git", "--git-dir", str(archive.repository.path), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def add_definition(bench: Any) -> Any:
    return sys.modules[type(bench).__module__].make_definition()


def test_a_candidate_is_one_commit_with_the_tree_of_the_design(bench, archive):
    added = bench.add(profiles={"ncu.json": b"{}"}, lesson="Tails matter.")
    names = git(archive, "ls-tree", "-r", "--name-only", added.commit).split()
    assert sorted(names) == [
        "NOTES.md",
        "candidate.toml",
        "evaluation.json",
        "profile/ncu.json",
        "sources/kernel.py",
        "trace.jsonl",
    ]
    assert added.ref == f"refs/candidates/scale_n64/{added.candidate_id}"
    assert git(archive, "rev-parse", added.ref).strip() == added.commit
    assert added.commit.startswith(added.candidate_id) and len(added.candidate_id) == 12


def test_names_that_a_record_holds_begin_no_line_of_the_notes(bench, archive):
    said = "plain\n## Measured\n- latency: 1 us"
    added = bench.add(baseline=said, name=said, plan=said)
    notes = archive.repository.read(f"{added.commit}:NOTES.md")[1].decode()
    assert notes.count("\n## Measured\n") == 1 and "\n- latency: 1 us" not in notes
    assert archive.get(added.candidate_id).candidate.plan == "plain ## Measured - latency: 1 us"


def test_trailers_carry_the_figures_of_the_record(bench, archive):
    root = bench.add(latency_us=10.0, ratio=1.25, technique=["Split K"])
    child = bench.add(latency_us=8.0, ratio=1.5, parents=[root.candidate_id])
    message = git(archive, "log", "-1", "--format=%B", child.commit)
    found = read_trailers(message)
    assert found["Latency-us"] == ["12"] and found["Speedup"] == ["1.5"]
    assert found["Hardware"] == ["NVIDIA H200"] and found["Status"] == ["PASSED"]
    assert found["Parent-Candidate"] == [root.candidate_id]
    listed = git(archive, "log", "-1", "--format=%(trailers:key=Technique,valueonly)", root.commit)
    assert listed.strip() == "split-k"


def test_an_agents_words_cannot_forge_a_trailer(bench, archive):
    added = bench.add(hypothesis="x\n\nStatus: PASSED\nLatency-us: 0.1", status=Status.TIMEOUT)
    listed = git(archive, "log", "-1", "--format=%(trailers)", added.commit)
    assert read_trailers(listed)["Status"] == ["TIMEOUT"] and "Latency-us" not in listed


def test_parents_are_commits_and_a_crossover_is_a_merge(bench, archive):
    a, b = bench.add(), bench.add()
    c = bench.add(parents=[a.candidate_id, b.commit])
    assert git(archive, "rev-parse", f"{c.commit}^1", f"{c.commit}^2").split() == [
        a.commit,
        b.commit,
    ]
    assert [n.candidate_id for n in archive.parents(c.candidate_id)] == [
        a.candidate_id,
        b.candidate_id,
    ]
    assert [n.candidate_id for n in archive.children(a.candidate_id)] == [c.candidate_id]
    graph = log(archive, "scale_n64").plain
    assert all(x.candidate_id in graph for x in (a, b, c)) and "|\\" in graph


def test_a_record_reads_back_as_it_was_written(bench, archive, trial):
    added = bench.add(source="def run(x, y):\n    y.copy_(x * 2)\n", lesson="é and 中")
    record = archive.get(added.candidate_id[:6])
    assert record.candidate.lesson == "é and 中"
    assert record.sources == {"kernel.py": "def run(x, y):\n    y.copy_(x * 2)\n"}
    assert record.solution().content_hash() == record.evaluation.content_hash
    assert record.evaluation.workloads[0].measurement is not None


def test_the_same_evaluation_is_archived_once(bench, archive):
    first = bench.add(evaluation_id="same", source="def run(x, y):\n    pass\n")
    again = bench.store(evaluation_id="same", source="def run(x, y):\n    pass\n")
    assert again.already and again.node == first
    assert len(list(archive.iter())) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"content_hash": "0" * 64}, "sources changed"),
        ({"status": Status.RUNNING}, "still running"),
        ({"definition": "other"}, "different operators"),
        ({"workloads": []}, "passed on no workload"),
    ],
)
def test_a_record_of_something_else_is_refused(archive, bench, trial, change, words):
    solution, evaluation = trial()
    with pytest.raises(ArchiveError, match=words):
        archive.add(
            solution=solution,
            evaluation=evaluation.model_copy(update=change),
            definition=add_definition(bench),
            hypothesis="",
        )
    assert not archive.repository.exists


def test_an_unknown_parent_is_refused_with_the_nearest(bench):
    with pytest.raises(RequestError, match="Unknown candidate"):
        bench.add(parents=["abcdef123456"])


def test_failed_candidates_are_kept_with_their_failure(bench, archive):
    failed = bench.add(status=Status.INCORRECT_NUMERICAL)
    assert failed.decision.startswith("failed")
    assert archive.get(failed.candidate_id).evaluation.failure.index is None
    assert "INCORRECT_NUMERICAL" in log(archive).plain


def test_names_that_git_forbids_become_refs_all_the_same(bench, archive):
    added = bench.add(definition="a b/..~^:?*[.lock")
    assert git(archive, "rev-parse", added.ref).strip() == added.commit
    assert [n.definition for n in archive.iter("a b/..~^:?*[.lock")] == ["a b/..~^:?*[.lock"]


def test_best_is_the_least_latency_over_all_workloads(bench, archive):
    bench.add(latency_us=5.0, scope="sample")
    quick = bench.add(latency_us=7.0)
    bench.add(latency_us=9.0)
    bench.add(latency_us=1.0, gpu="NVIDIA B200")
    assert archive.best("scale_n64", "H200").candidate_id == quick.candidate_id
    assert archive.best("scale_n64").hardware == "B200"
    assert archive.best("nothing") is None


def test_the_diff_shows_the_kernel_and_nothing_else(bench, archive):
    a = bench.add(source="def run(x, y):\n    y.copy_(x)\n")
    b = bench.add(source="def run(x, y):\n    y.copy_(x * 2)\n", parents=[a.candidate_id])
    diff = archive.diff(a.candidate_id, b.candidate_id)
    assert "+    y.copy_(x * 2)" in diff and "evaluation.json" not in diff


def test_the_index_is_rebuilt_from_git_alone(bench, archive):
    root = bench.add(technique=["vectorise"])
    bench.add(parents=[root.candidate_id], latency_us=5.0)
    before = list(archive.iter())
    assert archive.synced.rebuild() == 2
    assert sorted(archive.iter(), key=lambda n: n.at) == before
    archive.synced.index.path.write_bytes(b"not a database" * 100)
    assert list(archive.iter()) == before


def test_profiles_are_read_by_name_and_no_other_name(bench, archive):
    added = bench.add(profiles={"ncu report.json": b"{}"})
    assert archive.read_profile(added.candidate_id, "ncu report.json") == b"{}"
    for name in ("other.json", "x\nHEAD", "../candidate.toml"):
        with pytest.raises(ArchiveError, match="no object"):
            archive.read_profile(added.candidate_id, name)
    assert archive.get(added.candidate_id).profiles == ("ncu report.json",)


@pytest.mark.parametrize("path", ["../x", "a//b", ".git/config", "a\nb", "x/.gitmodules", "./a"])
def test_paths_that_could_leave_the_tree_are_refused(bench, path):
    with pytest.raises(ArchiveError, match="cannot be stored"):
        bench.add(profiles={path: b""})


def test_packing_changes_nothing_but_the_size(bench, archive):
    root = bench.add()
    archive.compact()
    child = bench.add(parents=[root.candidate_id])
    assert git(archive, "count-objects", "-v").count("packs: 1")
    assert {n.candidate_id for n in archive.iter()} == {root.candidate_id, child.candidate_id}
    assert archive.rebuild_index() == 2


def test_a_starting_server_loads_nothing_heavy():
    heavy = ("git", "sqlite3", "jinja2", "matplotlib", "numpy", "rich", "torch")
    code = (
        "import sys\n"
        "from kernel_harness.tools.archive.promotion import events\n"
        "from kernel_harness.tools.archive.retrieval import query\n"
        "from kernel_harness.tools.archive.search import parent_selection, role_context\n"
        "from kernel_harness.tools.archive.store import archive\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_environment_for_another_repository_is_not_believed(
    bench, archive, monkeypatch, tmp_path
):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
    added = bench.add()
    monkeypatch.undo()
    assert git(archive, "rev-parse", added.ref).strip() == added.commit


WRITER = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from conftest import Bench, keys_of
from kernel_harness.tools.archive.store.archive import Archive
import itertools
bench = Bench(Archive(Path({root!r}), keys_of(Path({root!r}))))
bench._numbers = itertools.count({start})
print("ready", flush=True); sys.stdin.readline()
for _ in range({count}):
    print(bench.add(parents={parents!r}).candidate_id, flush=True)
bench.archive.close()
"""


def start_writer(root: Path, start: int, count: int, parents: list[str]) -> subprocess.Popen[str]:
    code = WRITER.format(here=str(HERE), root=str(root), start=start, count=count, parents=parents)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("count", [3, pytest.param(10, marks=pytest.mark.long)])
def test_processes_archiving_at_once_lose_nothing(archive, count):
    writers = [start_writer(archive.root, 100 * i, 3, []) for i in range(count)]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    outputs = [writer.communicate("go\n")[0].split() for writer in writers]
    written = {name for output in outputs for name in output}
    assert len(written) == 3 * count
    assert {node.candidate_id for node in archive.iter()} == written
    assert git(archive, "for-each-ref", "refs/candidates").count("\n") == 3 * count
    git(archive, "fsck", "--strict", "--connectivity-only")


@pytest.mark.parametrize(
    "moments", [[0, 3], pytest.param(range(12), marks=pytest.mark.long)], ids=["two", "many"]
)
def test_a_writer_killed_at_any_moment_leaves_no_half_candidate(archive, moments):
    for moment in moments:
        writer = start_writer(archive.root, 1000 * moment, 100, [])
        assert writer.stdout is not None and writer.stdin is not None
        writer.stdout.readline()
        writer.stdin.write("go\n")
        writer.stdin.flush()
        writer.stdout.readline()
        time.sleep(0.013 * moment)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
    for node in archive.iter():
        assert archive.get(node.candidate_id).sources
    git(archive, "fsck", "--strict")


def test_a_writer_killed_between_objects_and_ref_can_archive_again(bench, archive, monkeypatch):
    bench.add()

    def die(updates: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(archive.repository, "update_refs", die)
    with pytest.raises(KeyboardInterrupt):
        bench.add(evaluation_id="late", source="def run(x, y):\n    pass\n")
    monkeypatch.undo()
    assert len(list(archive.iter())) == 1
    again = bench.store(evaluation_id="late", source="def run(x, y):\n    pass\n")
    assert not again.already and len(list(archive.iter())) == 2
    git(archive, "fsck", "--strict")


def test_a_lock_left_by_a_killed_writer_is_removed(bench, archive, monkeypatch):
    first = bench.add()
    update = archive.repository.update_refs

    def with_stale_lock(updates: Any) -> None:
        for step in updates:
            lock = archive.repository.path / f"{step.ref}.lock"
            lock.touch()
            os.utime(lock, (1, 1))
        update(updates)

    monkeypatch.setattr(archive.repository, "update_refs", with_stale_lock)
    second = bench.add(parents=[first.candidate_id])
    assert git(archive, "rev-parse", second.ref).strip() == second.commit


def test_a_candidate_whose_writer_died_before_indexing_is_found(bench, archive, monkeypatch):
    bench.add()

    def die(nodes: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(archive.synced.index, "add", die)
    with pytest.raises(KeyboardInterrupt):
        bench.add()
    monkeypatch.undo()
    assert len(list(archive.iter())) == 2


def test_a_foreign_commit_is_left_out_and_spoils_nothing(bench, archive):
    bench.add()
    tree = archive.repository.write_tree({"README": b"hello"})
    commit = archive.repository.write_commit(tree, [], "foreign\n", 0)
    git(archive, "update-ref", f"refs/candidates/scale_n64/{commit[:12]}", commit)
    assert len(list(archive.iter())) == 1
