"""Sources of C++ and CUDA put into a namespace, so that two programs fit into one library. Pure.

Each file that is compiled is enclosed in the namespace, and headers that are not the program's own
are included outside it: it is closed before them and opened again. Nothing else of the text
changes, so that macros and conditions around an include hold as they did. What this cannot see, as
a name that is written `::name`, does not compile; nothing is bound to another program's code
unnoticed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

COMPILED = (".cu", ".cpp", ".cc", ".cxx", ".c++")
_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(?P<end>[^()\s\\"]*)\(.*?\)(?P=end)"
    |^[ \t]*\#[ \t]*include\b(?P<included>[^\n]*)
    |(?P<linkage>\bextern\s*"C"|\bTORCH_LIBRARY\w*)
    |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|(?P<brace>[{}])""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_MOST_BRACES = 20
_NAMED = re.compile(r'\s*[<"]([^">\n]+)[>"]')


@dataclass(frozen=True)
class _Include:
    """One include: what it names, its place in the text, and how many braces are open there."""

    named: str
    start: int
    end: int
    depth: int


def why_not(files: Mapping[str, str]) -> str:
    """Why sources cannot be put into a namespace as they are; empty when they can."""
    waiting = [(path, 0) for path in files if path.endswith(COMPILED)]
    seen: set[tuple[str, int]] = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        path, opened = place
        for found in _includes(files[path]):
            own, depth = _own(found.named, path, files), opened + found.depth
            if not found.named:
                return f"{path} includes what a macro names"
            if own is not None and own.endswith(COMPILED):
                return f"{path} includes {own}, which is compiled by itself, too"
            if abs(depth) > _MOST_BRACES or (own is None and depth):
                return f"{path} includes {found.named} between braces"
            if own is not None:
                waiting.append((own, depth))
    return ""


def shared_linkage(text: str) -> bool:
    """Whether a source has names that no namespace tells apart: C's, or those told to torch."""
    return any(found["linkage"] for found in _TOKEN.finditer(text))


def in_namespace(files: Mapping[str, str], name: str, opening: str = "") -> Mapping[str, str]:
    """The sources in a namespace, under their paths; `opening` goes before each compiled one."""
    inside: dict[str, str] = {}
    for path, text in files.items():
        text = _includes_outside(path, text.removeprefix("\ufeff"), files, name)
        if path.endswith(COMPILED):
            text = f"{opening}namespace {name} {{\n{text}\n}}  // namespace {name}\n"
        inside[path] = text
    return inside


def _includes_outside(path: str, text: str, files: Mapping[str, str], name: str) -> str:
    parts, at = [], 0
    for found in _includes(text):
        own = _own(found.named, path, files)
        line = text[found.start : found.end]
        if own is None:
            line = f"}}\n{line}\nnamespace {name} {{"
        elif own != _beside(found.named, path):  # it was found from the root, which is another now
            line = f'#include "{posixpath.relpath(own, posixpath.dirname(path) or ".")}"'
        parts += [text[at : found.start], line]
        at = found.end
    return "".join([*parts, text[at:]])


def _includes(text: str) -> Iterator[_Include]:
    depth = 0
    for found in _TOKEN.finditer(text):
        if found["brace"]:
            depth += 1 if found["brace"] == "{" else -1
        elif found["included"] is not None:
            named = _NAMED.match(found["included"])
            yield _Include(named[1] if named else "", *found.span(), depth)


def _own(named: str, path: str, files: Mapping[str, str]) -> str | None:
    """The program's own file that an include means: beside the one it is in, or from the root."""
    places = (_beside(named, path), posixpath.normpath(named))
    return next((place for place in places if place in files), None)


def _beside(named: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), named))
