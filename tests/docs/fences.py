"""Reads fenced blocks out of Markdown, and the commands that a page tells people to run.

A block that cannot be run everywhere has a comment right above it that says what it needs:
`<!-- needs: a GPU -->`. Readers do not see it; the tests only parse such a block.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"(?:^<!-- needs: (?P<needs>[^>]+) -->\n\n?)?^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
CLIENTS = ("claude", "codex")
TITLE = re.compile(r'title="([^"]+)"')
NEEDS = {
    "a GPU",
    "the network",
    "another machine",
    "a client",
    "minutes",
    "a dataset",
    "a checkout",
    "Docker",
}
"""All that a block may need which a test has not."""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    title: str | None
    body: str
    needs: str | None = None


def pages() -> list[Path]:
    """Every page that people are given to read."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *docs]


def texts() -> list[Path]:
    """Every page that people or agents are given to read."""
    return [
        *pages(),
        *sorted((ROOT / "skills").rglob("*.md")),
        *sorted(ROOT.glob("server/roles/*.md")),
    ]


def named(path: Path) -> str:
    """A page's name in a test's id."""
    return str(path.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        info = match["info"].strip()
        title = TITLE.search(info)
        name = title[1] if title else None
        found.append(Block(info.split(" ")[0], name, match["body"], match["needs"]))
    return found


def commands(page: Path, program: str) -> list[list[str]]:
    """Every call of a program in a page's shell blocks and in its inline code, as words.

    Args:
        page: a Markdown file.
        program: the word that a command begins with, after any `NAME=value` words.
    """
    shell = [block.body for block in blocks(page) if block.language == "bash"]
    lines = [line for body in shell for line in body.replace("\\\n", " ").splitlines()]
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    lines += re.findall(r"`([^`]+)`", text)
    return [words for line in lines for words in _calls(line, program)]


def _calls(line: str, program: str) -> list[list[str]]:
    if program not in line:
        return []
    # A placeholder's brackets would be taken for redirections.
    line = re.sub(r"<[a-z_ ]+>", "…", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    simple: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;()<>"):
            simple.append([])
        else:
            simple[-1].append(word)
    found = []
    for words in simple:
        if words and words[0] in CLIENTS:
            words = words[words.index("--") :] if "--" in words else []
        at = [i for i, word in enumerate(words) if word.rsplit("/", 1)[-1] == program]
        found += [words[at[-1] :]] if at else []
    return found
