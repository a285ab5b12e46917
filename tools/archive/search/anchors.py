"""Anchors: a plan marks the regions of a source that may change, and a change is checked.

A plan puts a line with `<<<IMPROVE BEGIN>>>` before and one with `<<<IMPROVE END>>>` after each
part that may change, in a comment of the source's language. Pure; it compares lines and knows no
syntax beyond comments. An honest change elsewhere is reported, not forbidden: the plan was wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

BEGIN = "<<<IMPROVE BEGIN>>>"
END = "<<<IMPROVE END>>>"
_HASH = re.compile(r"^\s*#\s?.*$")
_SLASHES = re.compile(r"^\s*(//.*|/\*.*\*/\s*)$")
_COMMENTS = {".py": (_HASH, "#"), ".toml": (_HASH, "#")} | dict.fromkeys(
    (".cu", ".cuh", ".c", ".cc", ".cpp", ".cxx", ".h", ".hpp"), (_SLASHES, "//")
)


@dataclass(frozen=True)
class AnchorProblem:
    """A malformed anchor, or a changed line outside every region; `line` counts from 1."""

    path: str
    line: int
    words: str


@dataclass(frozen=True)
class Region:
    """Lines that may change: those between the anchors, which are on `begin` and `end`."""

    path: str
    begin: int
    end: int


@dataclass(frozen=True)
class AnchorReport:
    """Whether a change stayed where its plan allowed it."""

    regions: tuple[Region, ...]
    problems: tuple[AnchorProblem, ...]

    @property
    def ok(self) -> bool:
        """Whether the plan had regions, all well-formed, and the change stayed inside them."""
        return bool(self.regions) and not self.problems


def find_regions(path: str, text: str) -> tuple[list[Region], list[AnchorProblem]]:
    """The regions of one file, and its anchors that are code, nested, unopened or unclosed."""
    comment, mark = _COMMENTS.get(PurePosixPath(path).suffix.lower(), (None, ""))
    regions: list[Region] = []
    problems: list[AnchorProblem] = []
    opened: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        begins, ends = BEGIN in line, END in line
        if not begins and not ends:
            continue
        if begins and ends:
            problems.append(AnchorProblem(path, number, "both anchors are on one line"))
        elif comment is None or not comment.match(line):
            needed = f"a comment line beginning with {mark!r}" if mark else "a language we know"
            problems.append(AnchorProblem(path, number, f"an anchor needs {needed}"))
        elif begins:
            if opened is not None:
                problems.append(AnchorProblem(path, number, f"line {opened} is still open"))
            opened = number
        elif opened is None:
            problems.append(AnchorProblem(path, number, "nothing was begun before this end"))
        else:
            regions.append(Region(path, opened, number))
            opened = None
    if opened is not None:
        problems.append(AnchorProblem(path, opened, "this begin has no end"))
    return regions, problems


def check_change(plan: Mapping[str, str], child: Mapping[str, str]) -> AnchorReport:
    """Checks a plan's anchors and that a child differs from the plan only inside its regions.

    Both are sources by path; the child may have anchors or none.
    """
    regions: list[Region] = []
    problems: list[AnchorProblem] = []
    for path, text in plan.items():
        found, malformed = find_regions(path, text)
        regions += found
        problems += malformed
        if path not in child:
            problems.append(AnchorProblem(path, 1, "the file was removed"))
        elif not malformed:
            problems += _outside(path, text, child[path], found)
    problems += [AnchorProblem(p, 1, "the file is new") for p in child if p not in plan]
    if not regions and not problems:
        problems.append(AnchorProblem("", 0, "the plan has no anchors"))
    return AnchorReport(tuple(regions), tuple(problems))


def _outside(path: str, plan: str, child: str, regions: Sequence[Region]) -> list[AnchorProblem]:
    """Changed lines of the plan that no region allows, and lines added between regions."""
    lines = _code_lines(plan)
    theirs = [line for _, line in _code_lines(child)]
    if _keeps_the_rest(lines, theirs, regions):
        return []
    matcher = difflib.SequenceMatcher(None, [line for _, line in lines], theirs, autojunk=False)
    problems: list[AnchorProblem] = []
    for kind, first, last, start, stop in matcher.get_opcodes():
        if kind == "equal":
            continue
        for number, line in lines[first:last]:
            if not any(r.begin < number < r.end for r in regions):
                problems.append(AnchorProblem(path, number, f"changed outside: {line.strip()}"))
        if first == last and not _may_insert(lines, first, regions):
            number = lines[first][0] if first < len(lines) else len(plan.splitlines())
            added = " / ".join(line.strip() for line in theirs[start:stop][:3])
            problems.append(AnchorProblem(path, number, f"added outside: {added}"))
    return problems or [AnchorProblem(path, 1, "the parts outside the regions were reordered")]


def _keeps_the_rest(
    plan: Sequence[tuple[int, str]], child: Sequence[str], regions: Sequence[Region]
) -> bool:
    """Whether the child is the parts outside the regions, in order, with anything in between."""
    if not regions:
        return [line for _, line in plan] == list(child)
    bounds = [0, *(bound for r in regions for bound in (r.begin, r.end)), float("inf")]
    parts = [
        [line for number, line in plan if low < number < high]
        for low, high in zip(bounds[::2], bounds[1::2], strict=True)
    ]
    first, *middle, last = parts
    at, stop = len(first), len(child) - len(last)
    if at > stop or list(child[:at]) != first or list(child[stop:]) != last:
        return False
    for part in middle:
        places = range(at, stop - len(part) + 1)
        found = next((i for i in places if list(child[i : i + len(part)]) == part), None)
        if found is None:
            return False
        at = found + len(part)
    return True


def _code_lines(text: str) -> list[tuple[int, str]]:
    numbered = enumerate(text.splitlines(), 1)
    return [(n, line.rstrip()) for n, line in numbered if BEGIN not in line and END not in line]


def _may_insert(lines: Sequence[tuple[int, str]], at: int, regions: Sequence[Region]) -> bool:
    """Whether a region touches the gap before position `at`: also one with no lines in it."""
    before = lines[at - 1][0] if at else 0
    after = lines[at][0] if at < len(lines) else float("inf")
    return any(region.begin < after and region.end > before for region in regions)
