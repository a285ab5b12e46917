"""The table of trials: derived from git, and as it is."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.evaluation.records.record_store import new_evaluation_id
from kernel_harness.tools.schema.evaluation import Status


@pytest.fixture
def kept(archive: Archive, trial, definition):
    def keep(number: int, into: Archive | None = None, **record):
        text = f"def run(x, y):\n    y[:] = {number}\n"
        solution, evaluation = trial(new_evaluation_id(), text, **record)
        (into or archive).trials.write(solution, evaluation, definition)
        return solution, evaluation

    return keep


def rebuilt(archive: Archive):
    """The rows of the table before and after the index is made again from git."""
    before = archive.trials.table.rows(tail="ORDER BY name")
    archive.rebuild_index()
    return before, archive.trials.table.rows(tail="ORDER BY name")


def test_a_row_has_what_the_record_says(archive, kept):
    _, evaluation = kept(1)
    kept(2, status=Status.INCORRECT_NUMERICAL)
    (row,) = archive.trials.table.rows("name = ?", [evaluation.evaluation_id])
    assert (row.definition, row.status, row.scope) == ("scale_n64", "PASSED", "full")
    assert row.content_hash == evaluation.content_hash and row.latency_us == 15.0
    assert row.hardware == "NVIDIA H200" and row.at == 1_767_225_600 and row.state == "open"
    before, after = rebuilt(archive)
    assert before == after and len(after) == 2


def test_those_whose_bytes_are_archived_are_not_counted(archive, kept, trial, definition):
    solution, evaluation = kept(1)
    kept(2)
    assert archive.trials.table.count_open() == 2
    candidate = archive.add(
        solution=solution, evaluation=evaluation, definition=definition, hypothesis="So."
    ).node
    assert archive.trials.table.count_open("scale_n64") == 1
    assert archive.trials.table.count_open("other") == 0
    kept(1)  # judged again
    assert archive.trials.table.count_open() == 1
    before, after = rebuilt(archive)
    assert before == after
    archive.repository.run("update-ref", "-d", candidate.ref)
    assert archive.trials.table.count_open() == 3


def test_another_process_sees_what_was_written_and_dropped(archive, kept):
    other = Archive(archive.root, archive.keys)
    _, first = kept(1)
    assert [row.name for row in other.trials.table.rows()] == [first.evaluation_id]
    _, second = kept(2, other)
    assert archive.trials.find(second.evaluation_id) is not None
    other.trials.drop(other.trials.table.rows("name = ?", [first.evaluation_id]))
    assert archive.trials.find(first.evaluation_id) is None
    other.close()


def test_packed_refs_are_seen_and_unpacked_ones_beside_them(archive, kept):
    kept(1)
    archive.compact()
    assert archive.repository.loose_names("refs/trials") == []
    kept(2)
    assert archive.trials.table.count_open() == 2
    shutil.rmtree(archive.repository.path / "refs" / "trials")
    assert archive.trials.table.count_open() == 1
    before, after = rebuilt(archive)
    assert before == after


def test_folders_that_did_not_change_are_not_listed_again(archive, kept, monkeypatch):
    kept(1)
    for folder in archive.repository.path.glob("refs/trials/*/*"):
        past = time.time_ns() - 10**10  # as if it had been written a while ago
        os.utime(folder, ns=(past, past))
    archive.trials.table.current()
    monkeypatch.setattr(archive.repository, "loose_in", lambda folder: pytest.fail(folder))
    assert archive.trials.table.count_open() == 1


def test_what_no_key_that_counts_signed_is_in_no_count(archive, kept, machine):
    stranger = Archive(archive.root, machine("stranger"))
    kept(1, stranger)
    stranger.close()
    assert archive.trials.table.count_open() == 0
    (row,) = archive.trials.table.rows()
    assert row.state == "unverified"


def test_a_ref_of_something_else_hides_no_trial(archive, kept):
    _, evaluation = kept(1)
    blob = archive.repository.write_object("blob", b"no commit")
    (ref,) = archive.trials.refs()
    archive.repository.run("update-ref", f"{ref.rpartition('/')[0]}/{new_evaluation_id()}", blob)
    archive.repository.run("update-ref", "refs/trials/loose", archive.trials.refs()[ref])
    assert archive.trials.table.count_open() == 1
    assert archive.trials.find(evaluation.evaluation_id) is not None
