"""Git's helper processes, held to what a hostile repository makes them do."""

from __future__ import annotations

import os
import subprocess
import zlib

import pytest
from gitdb.db import loose

from kernel_harness.tools.archive.git.objects import ObjectReader
from kernel_harness.tools.archive.git.repository import Repository
from kernel_harness.tools.errors import ArchiveError


@pytest.fixture
def repository(tmp_path):
    found = Repository(tmp_path / "repository.git")
    found.create()
    yield found
    found.close()


@pytest.mark.timeout(60)
def test_what_git_complains_of_never_fills_its_pipe(repository):
    """A helper that waits for a reader of its complaints would hold every query for ever."""
    blob = repository.write_object("blob", b"x")
    for _ in range(1_500):
        with pytest.raises(ArchiveError):
            repository.read(f"{blob}^{{tree}}")  # some 90 bytes of complaint, of 65,536 that fit
    assert repository.read(blob) == ("blob", b"x")


def test_a_damaged_object_is_refused_and_every_other_is_read_after_it(repository):
    good = repository.write_object("blob", b"whole")
    for damage in (zlib.compress(b"no object"), b"not compressed", b""):
        bad = repository.write_object("blob", b"once whole" + damage)
        file = repository.path / "objects" / bad[:2] / bad[2:]
        file.chmod(0o644)
        file.write_bytes(damage)
        for _ in range(2):
            with pytest.raises(ArchiveError, match="no object"):
                repository.read(bad)
            assert repository.read(good) == ("blob", b"whole")


def test_an_object_that_cannot_be_read_in_time_is_said_and_every_other_is_read_after_it(
    repository,
):
    """Opening a pipe that nobody writes to waits for ever, as a dead disk does."""
    good, lost = repository.write_object("blob", b"whole"), "12" * 20
    place = repository.path / "objects" / lost[:2]
    place.mkdir(exist_ok=True)
    os.mkfifo(place / lost[2:])
    reader = ObjectReader(
        lambda: repository.start("cat-file", ["--batch"], subprocess.PIPE), deadline_s=0.2
    )
    with pytest.raises(ArchiveError, match=r"had not read .* after 0\.2 s"):
        reader.read(lost)
    assert reader.read(good) == ("blob", b"whole")
    reader.close()


def test_a_command_that_does_not_end_is_stopped_and_said(repository, tmp_path):
    blob = repository.write_object("blob", b"x")
    os.mkfifo(tmp_path / "silent")
    with pytest.raises(ArchiveError, match=r"git hash-object had not ended after 0\.2 s") as caught:
        repository.run("hash-object", str(tmp_path / "silent"), deadline_s=0.2)
    assert caught.value.where == str(repository.path)
    assert repository.run("cat-file", "-t", blob) == "blob"


@pytest.mark.parametrize("times", [1, 3])
def test_an_object_is_written_where_packing_removed_its_empty_folder(
    repository, monkeypatch, times
):
    """Git removes a folder whose last object it packed, perhaps just as one is moved there."""
    move, removed = loose.rename, []

    def after_packing(source, target):
        if len(removed) < times:
            removed.append(os.path.dirname(target))
            os.rmdir(removed[-1])
        move(source, target)

    monkeypatch.setattr(loose, "rename", after_packing)
    oid = repository.write_object("blob", b"x")
    assert len(removed) == times and repository.read(oid) == ("blob", b"x")
    assert [
        entry.name for entry in (repository.path / "objects").iterdir() if entry.is_file()
    ] == []


def test_an_object_that_cannot_be_written_is_said(repository, monkeypatch):
    def refuse(source, target):
        raise FileNotFoundError(2, "No such file or directory", source)

    monkeypatch.setattr(loose, "rename", refuse)
    with pytest.raises(ArchiveError, match="cannot be written"):
        repository.write_object("blob", b"x")
