"""Follows the tutorial word for word: its files, its commands, and what it says they answer.

Ids and `…` in the expected lines stand for whatever comes; an id that a page shows is the one that
was given here wherever it is used again.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .fences import ROOT, Block, blocks

TUTORIAL = ROOT / "docs" / "tutorial.md"
SET_UP = {"make install", ". .venv/bin/activate"}
ID = re.compile(r"ev-\d{8}-\d{6}-[0-9a-f]{8}|\b[0-9a-f]{12}\b|\b[0-9a-f]{7}\b")
FAILED = 1


class Reader:
    """Someone who types what the page says, in a home of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.exports: list[str] = []
        self.ids: dict[str, str] = {}
        self.output = ""
        self.status = 0
        here = str(Path(sys.executable).parent)
        self.environment = {
            "HOME": str(home),
            "PATH": f"{here}:{os.environ['PATH']}",  # noqa: TID251 - the reader's own shell
            "OMP_NUM_THREADS": "1",
            "KERNEL_HARNESS_CPU_BUDGET_S": "2",
            "KERNEL_HARNESS_DEVICE": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def follow(self, block: Block) -> None:
        """Does what one block asks for."""
        if block.title is not None:
            self._edit(Path(block.title.replace("~", str(self.home), 1)), block)
        elif block.language == "bash":
            self._type(block.body)
        elif block.language == "text":
            self._compare(block.body)

    def _edit(self, path: Path, block: Block) -> None:
        assert path.is_file(), f"{block.title} is not there to be edited"
        if block.language != "diff":
            path.write_text(block.body, encoding="utf-8")
            return
        lines = block.body.splitlines()
        old, new = ([line[1:] for line in lines if line[0] == sign] for sign in "-+")
        text = path.read_text(encoding="utf-8")
        assert text.count("\n".join(old)) == 1
        path.write_text(text.replace("\n".join(old), "\n".join(new)), encoding="utf-8")

    def _type(self, body: str) -> None:
        lines = [line for line in body.splitlines() if line not in SET_UP]
        typed = ID.sub(lambda found: self.ids[found[0]], "\n".join(lines))
        done = subprocess.run(
            ["bash", "-c", "\n".join([*self.exports, typed])],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        self.output, self.status = done.stdout, done.returncode
        self.exports += [line for line in lines if line.startswith("export ")]
        assert self.status in (0, FAILED), f"{typed}\n{self.output}"
        assert (self.status == FAILED) == self.output.startswith("INCORRECT"), self.output

    def _compare(self, body: str) -> None:
        at = 0
        for line in body.splitlines():
            pattern = re.compile(_loosened(line), re.MULTILINE)
            found = pattern.search(self.output, at)
            assert found, f"expected {line!r}\nin\n{self.output}"
            at = found.end()
            actual = [value for value in found.groups() if value]
            self.ids.update(zip(ID.findall(line), actual, strict=True))


def _loosened(line: str) -> str:
    """A pattern for an expected line: ids are captured, `…` is anything, spaces are any width."""
    pattern = ""
    for part in re.split(rf"({ID.pattern}|\s*…\s*|\s+)", line):
        if ID.fullmatch(part):
            pattern += "(ev-[0-9a-f-]+)" if part.startswith("ev-") else "([0-9a-f]+)"
        elif "…" in part:
            pattern += ".*"
        else:
            pattern += r"\s+" if part.isspace() else re.escape(part)
    return pattern


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_the_tutorial_works_word_for_word(tmp_path):
    reader = Reader(tmp_path)
    for block in blocks(TUTORIAL):
        reader.follow(block)
    assert len(reader.ids) >= 4
    assert not (tmp_path / "first-kernel").exists()


def test_the_tutorial_sets_up_as_the_readme_does():
    typed = {line for block in blocks(TUTORIAL) for line in block.body.splitlines()}
    assert typed >= SET_UP
    assert "make install" in (ROOT / "README.md").read_text(encoding="utf-8")
