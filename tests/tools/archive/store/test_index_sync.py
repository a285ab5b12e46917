"""The index as it is read from git, held to what an earlier version made of the same commits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel_harness.tools.archive.git.repository import RefUpdate
from kernel_harness.tools.archive.store import index_sync
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.transfer import fetch, write_bundle
from kernel_harness.tools.errors import ArchiveError
from kernel_harness.tools.signing.keyring import Keyring
from kernel_harness.tools.signing.trusted_keys import accept_key, remove_key

FIXTURES = Path(__file__).parents[3] / "fixtures/archive"
QUERIES = {
    "candidates": "SELECT id, ref, definition, op_type, hardware, scope, status, outcome,"
    " latency_us, noise, at, evaluation_id, content_hash, normalised_hash, language,"
    " error_signature, facts FROM candidates ORDER BY id",
    "edges": "SELECT child, parent, definition FROM edges JOIN candidates ON id = child"
    " ORDER BY 1, 2",
    "labels": "SELECT kind, label, c.id FROM labels l JOIN candidates c ON c.seq = l.seq"
    " ORDER BY 1, 2, 3",
    "regimes": "SELECT c.id, name, r.latency_us, ratio, decision FROM regimes r"
    " JOIN candidates c ON c.seq = r.seq ORDER BY 1, 2",
    "words": "SELECT c.id, w.name, w.technique, w.hypothesis, w.lesson, w.failure, w.operator"
    " FROM words w JOIN candidates c ON c.seq = w.rowid ORDER BY 1",
}


def test_commits_of_an_earlier_version_give_the_same_rows_and_are_marked(opened_old):
    index = opened_old(FIXTURES / "archive.bundle").synced.current()
    rows = {name: [list(row) for row in index.rows(query)] for name, query in QUERIES.items()}
    expected = json.loads((FIXTURES / "index.json").read_text(encoding="utf-8"))
    for table in (rows, expected):  # the facts are an object, whose order says nothing
        table["candidates"] = [[*row[:-1], json.loads(row[-1])] for row in table["candidates"]]
    for row in rows["candidates"]:
        assert row[-1].pop("notes") == []
        assert {row[-1].pop(name) for name in ("plan", "client", "model", "session")} == {""}
        assert row[-1].pop("trust") == "before signing"
        assert row[-1].pop("trust_words") == "recorded here before records were signed"
    for row in expected["candidates"]:
        words = row[-1]["outcome_words"]
        row[-1]["outcome_words"] = words.replace("1 workloads not run", "1 workload not run")
    assert rows == expected


def test_an_index_that_was_deleted_is_made_again_however_long_ago_the_refs_were_listed(
    bench, archive, monkeypatch
):
    bench.add()
    assert len(list(archive.iter())) == 1
    archive.synced.index.delete()
    fingerprint, listed_at = archive.synced._listed
    monkeypatch.setattr(archive.synced, "_listed", (fingerprint, listed_at - 60))
    assert len(list(archive.iter())) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_only_refs_that_are_new_are_read(bench, archive, monkeypatch, packed):
    for latency in (3.0, 2.0, 1.0):
        bench.add(latency_us=latency)
    if packed:
        archive.repository.run("pack-refs", "--all")
    assert len(list(archive.iter())) == 3
    asked: list[set[str]] = []
    held_by = type(archive.repository).held_by
    monkeypatch.setattr(
        type(archive.repository),
        "held_by",
        lambda self, names: asked.append(set(names)) or held_by(self, names),
    )
    added = bench.add(latency_us=4.0)
    assert added.candidate_id in {node.candidate_id for node in archive.iter()}
    assert len(list(archive.iter())) == 4
    assert asked and max(len(names) for names in asked) <= 1


def test_refs_are_found_in_files_of_their_own_and_packed(bench, archive):
    first = bench.add(latency_us=2.0)
    archive.repository.run("pack-refs", "--all")
    second = bench.add(latency_us=1.0)
    held = archive.repository.held_by({first.ref, second.ref, "refs/candidates/none/0"})
    assert held == archive.repository.refs("refs/candidates")
    assert set(held) == {first.ref, second.ref}


def test_two_servers_that_trust_different_keys_read_each_candidate_once(
    archive, bench, bench_class, machine, tmp_path, monkeypatch
):
    other = bench_class(Archive(tmp_path / "theirs" / "archive", machine("theirs")))
    node = other.add(latency_us=2.0)
    bundle = write_bundle(other.archive, tmp_path / "theirs.bundle")
    key = other.archive.keys.public()
    other.archive.close()
    bench.add(latency_us=9.0)
    fetch(archive, str(bundle), "theirs")
    trusting = Archive(archive.root, Keyring(archive.keys.private_file, archive.root, [key]))
    read = []

    def counted(*given, kept=index_sync.read_record):
        read.append(given)
        return kept(*given)

    monkeypatch.setattr(index_sync, "read_record", counted)
    seen = []
    for _ in range(3):
        seen += [server.node(node.candidate_id).trust for server in (archive, trusting)]
    trusting.close()
    assert seen == ["unverified", "trusted"] * 3
    assert len(read) == 2  # by the second server, of two candidates


@pytest.fixture
def mine(machine, bench_class):
    """An archive whose keys no other test shares, with one candidate."""
    keys = machine("mine")
    found = Archive(keys.private_file.parent / "archive", keys)
    bench_class(found).add()
    yield found
    found.close()


def test_keys_that_change_while_candidates_are_read_leave_no_index_of_both(
    mine, machine, monkeypatch
):
    before, key = mine.synced.current().path, machine("theirs").public()
    mine.synced.index.delete()

    def accepted_meanwhile(*given, kept=index_sync.read_record):
        accept_key(mine.keys.accepted_file, key, "theirs")
        return kept(*given)

    with monkeypatch.context() as patch:
        patch.setattr(index_sync, "read_record", accepted_meanwhile)
        mine.synced.synchronise()
    assert not before.exists()
    assert len(list(mine.iter())) == 1


def test_each_change_of_keys_leaves_a_bounded_number_of_indexes(mine, machine):
    for number in range(6):
        accept_key(mine.keys.accepted_file, machine(f"m{number}").public(), f"m{number}")
        assert len(list(mine.iter())) == 1
        assert len(list(mine.root.glob("index*.sqlite"))) <= 4
    remove_key(mine.keys.accepted_file, "m0")
    assert len(list(mine.iter())) == 1


def _replaced(archive, node, path: str, content: bytes) -> str:
    """Another commit, whose tree is a candidate's with one file replaced or added."""
    repository = archive.repository
    oids = repository.list_tree(node.commit)
    files = {name: repository.read(oid)[1] for name, oid in oids.items()} | {path: content}
    return repository.write_commit(repository.write_tree(files), [], "x\n", 1)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("sources/kernel.py", b"\xff\xfe"),
        ("candidate.toml", b"\xff"),
        ("candidate.toml", b"a = " + b"[" * 20_000),
        ("evaluation.json", b"[" * 100_000),
        ("evaluation.json", b'{"totals": {"geometric_mean_ratio": -1}}'),
        ("sources/" + "d/" * 300 + "k.py", b"x"),
    ],
)
def test_a_commit_that_cannot_be_read_hides_no_other(archive, bench, path, content):
    good = bench.add()
    commit = _replaced(archive, good, path, content)
    ref = f"refs/candidates/scale_n64/{commit[:12]}"
    archive.repository.update_refs([RefUpdate(ref, commit)])
    archive.rebuild_index()
    assert [node.candidate_id for node in archive.iter()] == [good.candidate_id]


def test_a_ref_cannot_take_over_another_candidates_id(archive, bench):
    good = bench.add()
    commit = _replaced(archive, good, "sources/kernel.py", b"def run(x, y): ...\n")
    ref = f"refs/candidates/elsewhere/{good.candidate_id}"
    archive.repository.update_refs([RefUpdate(ref, commit)])
    archive.rebuild_index()
    assert [node.commit for node in archive.iter()] == [good.commit]


@pytest.mark.parametrize("path", [".mcp.json", "kernel/__init__.py", "CLAUDE.md"])
def test_no_workspace_begins_with_sources_that_the_rule_refuses(archive, bench, path):
    commit = _replaced(archive, bench.add(), f"sources/{path}", b"x\n")
    ref = f"refs/candidates/scale_n64/{commit[:12]}"
    archive.repository.update_refs([RefUpdate(ref, commit)])
    with pytest.raises(ArchiveError, match="no solution"):
        archive.get(commit[:12]).solution()
