"""Reads fenced blocks out of Markdown, and the commands that a page tells people to run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
PLACEHOLDER = re.compile(r"<[a-z_ ]+>|…")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    title: str | None
    body: str


def pages() -> list[Path]:
    """Every page that people are given to read."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *docs]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        info = match["info"].strip()
        title = TITLE.search(info)
        found.append(Block(info.split(" ")[0], title[1] if title else None, match["body"]))
    return found


def commands(page: Path, program: str) -> list[list[str]]:
    """Every call of a program in a page's shell blocks and in its inline code, as words.

    Args:
        page: a Markdown file.
        program: the word that a command begins with, after any `NAME=value` words.
    """
    text = page.read_text(encoding="utf-8")
    lines = [
        line
        for block in blocks(page)
        if block.language in ("bash", "")
        for line in block.body.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    lines += [line.strip() for line in text.splitlines() if line.startswith("    ")]
    found = []
    for line in lines:
        if program not in line:
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        starts = [i for i, word in enumerate(words) if word.rsplit("/", 1)[-1] == program]
        if starts and all("=" in word for word in words[: starts[0]]):
            found.append(words[starts[0] :])
    return found
