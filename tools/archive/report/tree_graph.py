"""The search tree as `git log --graph` draws it, with the parents that hold now.

A candidate's commit keeps the parents that it was archived with; an amendment may name others. So
the tree is made anew, in a repository that lasts as long as the drawing, and git draws that.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from ..git.repository import Repository
from ..store.entry import Node

_LINE = re.compile(r"(?P<rails>.*?)(?P<id>[0-9a-f]{12})?")


@dataclass(frozen=True)
class TreeLine:
    """A line of the drawing; one of rails alone has no candidate."""

    rails: str
    candidate_id: str | None

    @property
    def below(self) -> str:
        """The rails beside what else is said of the same candidate."""
        return re.sub(r"[-.]", " ", self.rails.replace("*", "|"))


def tree_lines(nodes: Sequence[Node]) -> list[TreeLine]:
    """Draws candidates, the newest first, each above its parents; those elsewhere are left out."""
    if not nodes:
        return []
    with tempfile.TemporaryDirectory(prefix="kernel-harness-tree-") as folder:
        repository = Repository(Path(folder) / "tree.git")
        repository.create()
        repository.run("fast-import", "--quiet", stdin="".join(_commits(nodes)).encode())
        drawn = repository.run("log", "--graph", "--all", "--format=%s")
    matches = (_LINE.fullmatch(line.rstrip()) for line in drawn.splitlines())
    return [TreeLine(match["rails"], match["id"]) for match in matches if match]


def _commits(nodes: Sequence[Node]) -> Iterator[str]:
    """A stream for git fast-import: a commit for each candidate, parents first."""
    by_id = {node.candidate_id: node for node in nodes}
    parents = {name: [p for p in node.parents if p in by_id] for name, node in by_id.items()}
    marks = {name: mark for mark, name in enumerate(_parents_first(parents), start=1)}
    for name, mark in marks.items():
        yield f"commit refs/heads/{name}\nmark :{mark}\n"
        yield f"committer tree <tree> {max(by_id[name].at, 0)} +0000\ndata {len(name)}\n{name}\n"
        words = ["from", *["merge"] * len(parents[name])]
        yield from (
            f"{word} :{marks[parent]}\n" for word, parent in zip(words, parents[name], strict=False)
        )
        yield "\n"


def _parents_first(parents: Mapping[str, list[str]]) -> list[str]:
    """All names, parents first. Two machines may have amended a circle: it is opened somewhere."""
    while True:
        try:
            return list(TopologicalSorter(parents).static_order())
        except CycleError as error:
            first, second = error.args[1][:2]
            # Of two neighbours in the circle the first is a parent of the second.
            parents[second].remove(first)
