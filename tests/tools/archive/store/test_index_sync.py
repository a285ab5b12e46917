"""The index as it is read from git, held to what an earlier version made of the same commits."""

from __future__ import annotations

import json
from pathlib import Path

from kernel_harness.tools.archive.store.transfer import fetch

FIXTURES = Path(__file__).parents[3] / "fixtures/archive"
QUERIES = {
    "candidates": "SELECT id, ref, definition, op_type, hardware, scope, status, outcome,"
    " latency_us, noise, at, evaluation_id, content_hash, normalised_hash, language,"
    " error_signature, facts FROM candidates ORDER BY id",
    "edges": "SELECT child, parent, definition FROM edges ORDER BY 1, 2",
    "labels": "SELECT kind, label, c.id FROM labels l JOIN candidates c ON c.seq = l.seq"
    " ORDER BY 1, 2, 3",
    "regimes": "SELECT c.id, name, r.latency_us, ratio, decision FROM regimes r"
    " JOIN candidates c ON c.seq = r.seq ORDER BY 1, 2",
    "words": "SELECT c.id, w.name, w.technique, w.hypothesis, w.lesson, w.failure, w.operator"
    " FROM words w JOIN candidates c ON c.seq = w.rowid ORDER BY 1",
}


def test_commits_of_an_earlier_version_give_the_same_rows(archive):
    fetch(archive, str(FIXTURES / "archive.bundle"))
    index = archive.synced.current()
    rows = {name: [list(row) for row in index.rows(query)] for name, query in QUERIES.items()}
    expected = json.loads((FIXTURES / "index.json").read_text(encoding="utf-8"))
    for table in (rows, expected):  # the facts are an object, whose order says nothing
        table["candidates"] = [[*row[:-1], json.loads(row[-1])] for row in table["candidates"]]
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
