"""Follows the tutorial word for word, and the pages that go on from where it ends.

They share one home, so that what the tutorial took half a minute to make is made once: the archive
is reviewed and carried to another machine before the tutorial's last step removes it.
"""

import sys

import pytest

from .fences import ROOT, blocks
from .reader import SET_UP, Reader

TUTORIAL = ROOT / "docs" / "tutorial.md"
HOW_TO = ROOT / "docs" / "how-to"

SSH = """#!/bin/sh
# Stands for ssh to a GPU machine: runs the command in a home of its own, without our environment.
while [ "${1#-}" != "$1" ]; do [ "$1" = -o ] && shift; shift; done
[ "$1" = gpu-box ] || exit 255
shift
cd "@REMOTE@" || exit 255
HOME="@REMOTE@" KERNEL_HARNESS_DATA_DIR="@REMOTE@/data" exec sh -c "$*"
"""


@pytest.fixture
def programs(tmp_path):
    """A folder with an `ssh` that stays on this machine."""
    remote, folder = tmp_path / "gpu-box", tmp_path / "programs"
    remote.mkdir()
    folder.mkdir()
    (remote / "kernel-harness").mkdir()
    (remote / "kernel-harness" / ".venv").symlink_to(sys.prefix)
    ssh = folder / "ssh"
    ssh.write_text(SSH.replace("@REMOTE@", str(remote)), encoding="utf-8")
    ssh.chmod(0o755)
    return folder


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_the_tutorial_works_word_for_word_and_so_do_the_pages_that_follow_it(
    tmp_path, programs, command_line
):
    home = tmp_path / "home"
    home.mkdir()
    reader = Reader(home, programs, command_line)
    *lessons, cleaning = blocks(TUTORIAL)
    reader.follow(lessons)
    assert len(reader.ids) >= 4
    reader.follow(blocks(HOW_TO / "review-the-archive.md"))
    reader.follow(blocks(HOW_TO / "remote-gpu.md"))
    reader.follow([cleaning])
    assert not (home / "first-kernel").exists()


def test_the_tutorial_sets_up_as_the_readme_does():
    typed = {line for block in blocks(TUTORIAL) for line in block.body.splitlines()}
    assert typed >= SET_UP
    assert "make install" in (ROOT / "README.md").read_text(encoding="utf-8")
