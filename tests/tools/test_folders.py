"""Folders that a candidate wrote into are gone afterwards, whatever it left there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kernel_harness.tools.folders import remove_tree


def nest(folder: Path, depth: int, *, files: bool = False) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        if files:
            os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
            os.mkdir("e", dir_fd=here)
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


@pytest.mark.parametrize("files", [False, pytest.param(True, marks=pytest.mark.long)])
def test_folders_nested_deeper_than_any_path_or_stack_are_removed(tmp_path, files):
    folder = tmp_path / "private"
    folder.mkdir()
    nest(folder, max(2_100, 2 * sys.getrecursionlimit()), files=files)  # a path: 4,096 characters
    assert remove_tree(folder) and not folder.exists()


def test_links_are_removed_and_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    folder = tmp_path / "private"
    (folder / "a").mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    (folder / "a" / "link").symlink_to(outside)
    os.mkfifo(folder / "a" / "pipe")
    assert remove_tree(folder)
    assert (outside / "kept").read_text() == "x"


def test_folders_that_nobody_may_enter_are_removed(tmp_path):
    folder = tmp_path / "private"
    (folder / "a" / "b" / "c").mkdir(parents=True)
    for closed in (folder / "a" / "b" / "c", folder / "a" / "b", folder / "a"):
        closed.chmod(0)
    assert remove_tree(folder)


def test_what_is_no_folder_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    assert not remove_tree(tmp_path / "file") and not remove_tree(tmp_path / "link")
    assert remove_tree(tmp_path / "nothing")
    assert (tmp_path / "file").exists()
