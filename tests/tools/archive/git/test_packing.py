"""Packing in the background: what is loose becomes few files, and nothing is lost."""

from __future__ import annotations

import fcntl
import os
import time

import pytest

from kernel_harness.tools.archive.git import packing
from kernel_harness.tools.archive.git.repository import RefUpdate, Repository


@pytest.fixture
def repository(tmp_path):
    found = Repository(tmp_path / "repository.git")
    found.create()
    yield found
    found.close()


def write(repository: Repository, number: int) -> str:
    """Writes a commit and names it; returns the ref."""
    tree = repository.write_tree({"n": str(number).encode()})
    commit = repository.write_commit(tree, [], f"{number}\n", number)
    ref = f"refs/candidates/op/{commit[:12]}"
    repository.update_refs([RefUpdate(ref, commit)])
    return ref


def test_many_refs_are_packed_while_more_are_written(repository, monkeypatch):
    monkeypatch.setattr(packing, "MOST_LOOSE_REFS", 6)
    monkeypatch.setattr(packing, "LOOK_EVERY", 3)
    refs = {write(repository, number) for number in range(20)}
    repository.packing.finish()
    assert repository.ref_names("refs/candidates") == refs
    assert set(repository.refs("refs/candidates")) == refs
    assert repository.packed_names("refs/candidates")
    repository.run("fsck", "--strict", "--no-dangling")


def test_few_refs_stay_as_they_are(repository):
    refs = {write(repository, number) for number in range(5)}
    repository.packing.finish()
    assert set(repository.loose_names("refs")) == refs


def test_one_process_packs_at_a_time(repository):
    write(repository, 1)
    with (repository.path / "packing.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not repository.packing.pack()
        assert repository.packed_names("refs") == set()
    assert repository.packing.pack()
    assert len(repository.packed_names("refs")) == 1


@pytest.mark.parametrize("left", ["packed-refs.lock", "packed-refs.new"])
def test_what_a_killed_process_left_stops_nothing_for_ever(repository, left):
    ref = write(repository, 1)
    lock = repository.path / left
    lock.touch()
    past = time.time() - packing.STALE_LOCK_S - 1
    os.utime(lock, (past, past))
    assert repository.packing.pack() and repository.packed_names("refs") == {ref}


def test_an_object_that_is_written_again_counts_as_new(repository):
    """Pruning goes by age: what a writer is about to name must not look old."""
    oid = repository.write_object("blob", b"x")
    path = repository.path / "objects" / oid[:2] / oid[2:]
    os.utime(path, (0, 0))
    repository.write_object("blob", b"x")
    assert path.stat().st_mtime > time.time() - 600
