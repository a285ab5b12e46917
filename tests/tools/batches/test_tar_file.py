"""Tar files hold plain files under known names, or nothing of them is written."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path

import pytest

from kernel_harness.tools.batches import tar_file
from kernel_harness.tools.batches.tar_file import extract, write_tar
from kernel_harness.tools.errors import DatasetError, RequestError

NAMES = re.compile(r"[a-z]+(?:/[a-z.]+)*")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


def hostile(file: Path, *members: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(file, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(content))
    return file


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def test_what_was_written_is_read_again(tmp_path, folder):
    source = tmp_path / "source"
    source.write_bytes(b"\x00" * 3_000_000)
    write_tar(tmp_path / "a.tar", [("one", b"1"), ("two/three", source)])
    assert extract(tmp_path / "a.tar", folder, NAMES) == ["one", "two/three"]
    assert (folder / "one").read_bytes() == b"1"
    assert (folder / "two/three").read_bytes() == source.read_bytes()
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("../x", {}, "none of the files"),
        ("/etc/x", {}, "none of the files"),
        ("a/../../x", {}, "none of the files"),
        ("a/./x", {}, None),
        ("A", {}, "none of the files"),
        ("a\nb", {}, "none of the files"),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "no plain file"),
        ("hard", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "no plain file"),
        ("pipe", {"type": tarfile.FIFOTYPE}, "no plain file"),
        ("folder", {"type": tarfile.DIRTYPE}, "no plain file"),
        ("device", {"type": tarfile.CHRTYPE}, "no plain file"),
    ],
)
def test_a_member_that_leads_elsewhere_is_refused(tmp_path, folder, name, fields, words):
    file = hostile(tmp_path / "a.tar", member(name, **fields))
    if words is None:
        extract(file, folder, NAMES)
    else:
        with pytest.raises(DatasetError, match=words):
            extract(file, folder, NAMES)
        assert list(folder.iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_a_name_that_comes_twice_is_refused(tmp_path, folder):
    file = hostile(tmp_path / "a.tar", member("x"), member("y"), member("x"))
    with pytest.raises(DatasetError, match="'x' twice"):
        extract(file, folder, NAMES)


def test_what_claims_more_than_the_file_has_is_refused_without_filling_the_disk(tmp_path, folder):
    """A sparse file of a terabyte, and one whose size is a lie."""
    sparse = member("x", size=1 << 40)
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    sparse.pax_headers |= {"GNU.sparse.name": "x", "GNU.sparse.realsize": str(1 << 40)}
    sparse.size = 512
    file = hostile(tmp_path / "a.tar", sparse, content=b"1\n0\n0\n".ljust(512, b"\x00"))
    with pytest.raises(DatasetError):
        extract(file, folder, NAMES)
    lie = member("y", size=1 << 40).tobuf()
    (tmp_path / "b.tar").write_bytes(lie + b"\x00" * 1024)
    with pytest.raises(DatasetError):
        extract(tmp_path / "b.tar", folder, NAMES)
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 4096


def test_a_compressed_file_is_not_unpacked(tmp_path, folder):
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        info = member("x", size=1 << 20)
        tar.addfile(info, io.BytesIO(b"\x00" * (1 << 20)))
    with pytest.raises(DatasetError, match="cannot be used"):
        extract(tmp_path / "a.tar", folder, NAMES)
    assert list(folder.iterdir()) == []


def test_sizes_and_numbers_have_bounds(tmp_path, folder, monkeypatch):
    write_tar(tmp_path / "a.tar", [("x", b"1" * 20_000), ("y", b"")])
    monkeypatch.setattr(tar_file, "MOST_FILES", 1)
    with pytest.raises(DatasetError, match="more than 1 files"):
        extract(tmp_path / "a.tar", folder, NAMES)
    monkeypatch.setattr(tar_file, "MOST_BYTES", 10_000)
    with pytest.raises(DatasetError, match="10000 are the most"):
        extract(tmp_path / "a.tar", folder, NAMES)


def test_a_place_that_no_file_can_have_is_refused_in_words(tmp_path: Path) -> None:
    """A job had been carried out for hours when its results met a folder of that name."""
    (tmp_path / "file").write_text("")
    for place, why in (
        (tmp_path, "a folder"),
        (tmp_path / "file" / "results.tar", "Not a dir|exist"),
    ):
        with pytest.raises(RequestError, match=why):
            write_tar(place, [("a", b"1")])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_pipe_is_no_file_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "out").mkdir()
    with pytest.raises(DatasetError, match="no file"):
        extract(tmp_path / "pipe", tmp_path / "out", re.compile("a"))


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    """It was to be taken again from the machine that wrote it."""
    with pytest.raises(DatasetError, match="There is no such file") as caught:
        extract(tmp_path / "results.tar", tmp_path, NAMES)
    assert caught.value.where == str(tmp_path / "results.tar")
