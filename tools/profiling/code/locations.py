"""Triton's two forms of a kernel, ttir and ttgir, with the source's lines where its locations were.

Triton names each location by a number and defines the numbers on lines of their own, in the paths
of the machine that compiled: a third of the text, which says where nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

_DEFINED = re.compile(r"^(#loc\d*) = loc\((.*)\)$")
_FILE = re.compile(r'"([^"]*)":(\d+):\d+')
_NUMBER = re.compile(r"#loc\d*")
_WITHIN = re.compile(r' loc\(((?:[^()"]|"[^"]*"|\([^()]*\))*)\)')
DEEPEST = 32
"""Locations within one another that are followed."""


def located(text: str) -> list[str]:
    """The lines without locations, each with the source's line behind it as `// kernel.py:7`."""
    defined: dict[str, str] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if found := _DEFINED.match(line):
            defined[found[1]] = found[2]
        else:
            lines.append(line)
    return [_written(line, defined) for line in lines]


def _written(line: str, defined: Mapping[str, str]) -> str:
    ends = [found[1] for found in _WITHIN.finditer(line) if found.end() == len(line)]
    at = _source(ends[0], defined) if ends else ""
    plain = _WITHIN.sub("", line)
    return f"{plain}   // {at}" if at else plain


def _source(location: str, defined: Mapping[str, str], depth: int = 0) -> str:
    """The file and line of a location, of the first that has one; empty where none does."""
    if found := _FILE.search(location):
        return f"{PurePosixPath(found[1]).name}:{found[2]}"
    if depth == DEEPEST:
        return ""
    inner = (defined.get(name, "") for name in _NUMBER.findall(location))
    return next(filter(None, (_source(one, defined, depth + 1) for one in inner)), "")
