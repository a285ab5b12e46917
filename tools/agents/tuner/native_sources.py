"""Numbers, pragmas, launch bounds and cached loads of CUDA and C++ sources, by patterns.

Comments are left out. A number counts where a macro or a constexpr names it, or a list of template
arguments is nothing but numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .edits import EditKind, ProgramEdit, Replacement, powers_near

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_NAMED = re.compile(
    r"(?:\bconstexpr\s+(?:static\s+|const\s+)?(?:unsigned\s+|std::)?\w+\s+(?P<constant>\w+)\s*=\s*"
    r"|^[ \t]*\#[ \t]*define[ \t]+(?P<macro>\w+)[ \t]+)(?P<value>\d{1,5})(?=\s*;|[ \t]*$)",
    re.MULTILINE,
)
_TEMPLATE = re.compile(r"\b(?P<name>[a-z_]\w*)<(?P<values>\s*\d+(?:\s*,\s*\d+)*\s*)>(?=\s*[(<;])")
_UNROLL = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+unroll\b(?P<count>[ \t]*\(?\d*\)?)", re.MULTILINE)
_BOUNDS = re.compile(
    r"__launch_bounds__\((?P<threads>[^(),]+(?:\([^()]*\))?)(?P<blocks>,\s*\d+)?\)"
)
_CACHED = re.compile(r"\b(?P<name>__ldg|__ldcs|__ldcg|__ldca|__stcs|__stwt|__stcg)\(")
_NO_ALLOCATE = re.compile(r"\bld\.global(?:\.nc)?(?P<hint>(?:\.L1::\w+)?)(?=[.\w:]*\s)")
LOADS = ("__ldg", "__ldcs", "__ldcg", "__ldca")
STORES = ("__stcs", "__stwt", "__stcg")
HINTS = ("", ".L1::no_allocate", ".L1::evict_last")
UNROLLED = ("", " 1", " 2", " 4", " 8")
BLOCKS = ("", ", 1", ", 2", ", 4", ", 8")


def native_edits(path: str, text: str) -> list[ProgramEdit]:
    """Every edit of a CUDA or C++ source."""
    code = _COMMENT.sub(lambda found: " " * len(found[0]), text)
    return [
        *_numbers(path, code),
        *_choices(path, code, _UNROLL, "count", UNROLLED, EditKind.UNROLL, "unroll"),
        *_choices(path, code, _BOUNDS, "blocks", BLOCKS, EditKind.BOUNDS, "bounds"),
        *_choices(path, code, _NO_ALLOCATE, "hint", HINTS, EditKind.CACHE, "ld.global"),
        *_calls(path, code),
    ]


def _numbers(path: str, code: str) -> Iterator[ProgramEdit]:
    for found in _NAMED.finditer(code):
        name = found["constant"] or found["macro"]
        yield from _number(path, name, found["value"], found.start("value"))
    seen: dict[str, int] = {}
    for found in _TEMPLATE.finditer(code):
        seen[found["name"]] = count = seen.get(found["name"], 0) + 1
        for place, digits in enumerate(re.finditer(r"\d+", found["values"])):
            site = f"{found['name']}<{place}>@{count}"
            yield from _number(path, site, digits[0], found.start("values") + digits.start())


def _number(path: str, site: str, digits: str, start: int) -> Iterator[ProgramEdit]:
    kind = EditKind.STAGES if "stage" in site.lower() else EditKind.TILE
    kind = EditKind.WARPS if "warp" in site.lower() else kind
    for other in powers_near(int(digits)):
        piece = Replacement(path, start, start + len(digits), str(other))
        yield ProgramEdit(kind, site, str(other), digits, (piece,))


def _choices(
    path: str,
    code: str,
    pattern: re.Pattern[str],
    group: str,
    values: tuple[str, ...],
    kind: EditKind,
    name: str,
) -> Iterator[ProgramEdit]:
    for number, found in enumerate(pattern.finditer(code), 1):
        now = found[group] or ""
        start = found.start(group) if found[group] is not None else found.end() - 1
        for value in values:
            if value.strip(" ,") != now.strip(" ,()"):
                piece = Replacement(path, start, start + len(now), value)
                site, said = f"{path}:{name}@{number}", value.strip(" ,") or "none"
                yield ProgramEdit(kind, site, said, now.strip(" ,()"), (piece,))


def _calls(path: str, code: str) -> Iterator[ProgramEdit]:
    """Cached loads and stores by another instruction of the same kind."""
    for number, found in enumerate(_CACHED.finditer(code), 1):
        name, start = found["name"], found.start("name")
        for other in LOADS if name in LOADS else STORES:
            if other != name:
                piece = Replacement(path, start, start + len(name), other)
                yield ProgramEdit(EditKind.CACHE, f"{path}:call@{number}", other, name, (piece,))
