from __future__ import annotations

import os
import subprocess
import time

import pytest

from kernel_harness.tools.archive.git import packing
from kernel_harness.tools.archive.git.ref_writer import RefWriter
from kernel_harness.tools.archive.git.repository import RefConflict, RefUpdate, Repository
from kernel_harness.tools.errors import ArchiveError


@pytest.fixture
def repository(tmp_path):
    found = Repository(tmp_path / "repository.git")
    found.create()
    yield found
    found.close()


@pytest.fixture
def writers(repository, monkeypatch):
    """The processes that were started to change refs."""
    found, start = [], repository.start

    def started(command, arguments, stdin, variables=None):
        process = start(command, arguments, stdin, variables)
        if command == "update-ref":
            found.append(process)
        return process

    monkeypatch.setattr(repository, "start", started)
    return found


def commit(repository, words):
    tree = repository.write_tree({"a": words.encode()})
    return repository.write_commit(tree, [], words, 1)


def test_changes_are_made_by_one_process(repository, writers):
    held = {f"refs/trials/{n}": commit(repository, str(n)) for n in range(20)}
    for ref, oid in held.items():
        repository.update_refs([RefUpdate(ref, oid)])
    assert repository.refs("refs/trials") == held and len(writers) == 1
    repository.delete_refs({ref: held.pop(ref) for ref in list(held)[:5]})
    assert repository.refs("refs/trials") == held and len(writers) == 1
    repository.close()
    assert writers[0].poll() is not None


def test_a_change_that_is_refused_changes_nothing_and_the_next_is_made(repository, writers):
    first, other = commit(repository, "first"), commit(repository, "other")
    repository.update_refs([RefUpdate("refs/trials/a", first)])
    both = [RefUpdate("refs/trials/b", other), RefUpdate("refs/trials/a", other)]
    with pytest.raises(RefConflict, match="refs/trials/a"):
        repository.update_refs(both)
    assert repository.refs("refs/trials") == {"refs/trials/a": first}
    repository.update_refs([both[0], RefUpdate("refs/trials/a", other, first)])
    assert set(repository.refs("refs/trials").values()) == {other}


def test_a_process_that_was_killed_is_replaced(repository, writers):
    oid = commit(repository, "it")
    repository.update_refs([RefUpdate("refs/trials/a", oid)])
    writers[0].kill()
    writers[0].wait()
    repository.update_refs([RefUpdate("refs/trials/b", oid)])
    assert set(repository.refs("refs/trials")) == {"refs/trials/a", "refs/trials/b"}
    assert len(writers) == 2


def test_what_others_do_to_refs_meanwhile_is_seen(repository, writers):
    """Its process stays, and git keeps what it has read of refs."""
    first, other = commit(repository, "first"), commit(repository, "other")
    for name in "ab":
        repository.update_refs([RefUpdate(f"refs/trials/{name}", first)])
    repository.run("update-ref", "refs/trials/a", other)
    repository.run("pack-refs", "--all", "--prune")
    repository.run("update-ref", "-d", "refs/trials/b")
    with pytest.raises(RefConflict):
        repository.update_refs([RefUpdate("refs/trials/a", first, first)])
    with pytest.raises(RefConflict):
        repository.update_refs([RefUpdate("refs/trials/a", first)])
    repository.update_refs([RefUpdate("refs/trials/a", first, other)])
    repository.update_refs([RefUpdate("refs/trials/b/c", other)])
    assert repository.refs("refs/trials") == {"refs/trials/a": first, "refs/trials/b/c": other}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("changes", [1, 2_000])
def test_git_that_does_not_answer_is_stopped_in_time(repository, monkeypatch, changes):
    def start(command, arguments, stdin, variables=None):
        pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(["sleep", "60"], **pipes)

    monkeypatch.setattr(repository, "start", start)
    writer = RefWriter(repository, deadline_s=0.2)
    with pytest.raises(ArchiveError, match=r"had not ended after 0\.2 s"):
        writer.change(["create refs/trials/a " + "1" * 40] * changes)  # a pipe holds 64 KiB


def spoil(repository):
    """Makes every change of refs fail, as a full disk does."""
    (repository.path / "packed-refs").write_text("# pack-refs with: sorted \nno ref\n")


def test_a_change_that_git_fails_to_make_is_no_conflict(repository):
    """Who was told of a conflict took what was to be written for written by another."""
    oid = commit(repository, "it")
    repository.update_refs([RefUpdate("refs/trials/a", oid)])
    spoil(repository)
    for change in (
        lambda: repository.update_refs([RefUpdate("refs/trials/b", oid)]),
        lambda: repository.delete_refs({"refs/trials/a": oid}),
    ):
        with pytest.raises(ArchiveError, match="packed-refs") as caught:
            change()
        assert not isinstance(caught.value, RefConflict)
    assert repository.refs("refs/trials") == {"refs/trials/a": oid}


@pytest.mark.parametrize(
    "left", ["refs/trials/a.lock", "packed-refs.lock", "packed-refs.new"], ids=str
)
def test_what_a_killed_process_left_is_cleared_before_a_ref_is_removed(repository, left):
    oid = commit(repository, "it")
    repository.update_refs([RefUpdate("refs/trials/a", oid)])
    repository.run("pack-refs", "--all")
    long_ago = time.time() - packing.STALE_LOCK_S - 1
    (repository.path / left).parent.mkdir(parents=True, exist_ok=True)
    (repository.path / left).touch()
    os.utime(repository.path / left, (long_ago, long_ago))
    repository.delete_refs({"refs/trials/a": oid})
    assert repository.refs("refs/trials") == {}


def test_a_ref_whose_name_is_no_text_can_be_removed(repository):
    oid, name = commit(repository, "it"), "refs/trials/\udcff"
    (repository.path / "refs" / "trials").mkdir()
    (repository.path / name).write_text(f"{oid}\n")
    assert repository.refs("refs/trials") == {name: oid}
    repository.delete_refs({name: oid})
    assert repository.refs("refs/trials") == {}


def test_more_changes_than_a_pipe_holds_are_made_at_once(repository, writers):
    oid = commit(repository, "it")
    held = {f"refs/trials/{n:04}": oid for n in range(900)}
    repository.update_refs([RefUpdate(ref, oid) for ref in held])
    assert repository.refs("refs/trials") == held
    repository.delete_refs(held)
    assert repository.refs("refs/trials") == {} and len(writers) == 1
