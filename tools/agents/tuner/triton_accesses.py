"""Loads, stores, loops and the order of programs of Triton kernels, by their syntax alone.

None of these edits changes what a kernel computes, but where its data wait and who comes first.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from ...tuning.python_constants import SourceLines
from .edits import EditKind, ProgramEdit, Replacement
from .python_numbers import STAGES, is_kernel, last_argument

POLICIES = ("evict_first", "evict_last")
MODIFIERS = {"load": (".cg",), "store": (".cs", ".wt")}
"""Without one a load is cached at all levels, as with .ca."""
_KEYWORDS = {"eviction_policy": EditKind.EVICTION, "cache_modifier": EditKind.CACHE}


@dataclass(frozen=True)
class _Access:
    site: str
    what: str
    call: ast.Call


def access_edits(path: str, text: str, tree: ast.Module) -> list[ProgramEdit]:
    """Every edit of the kernels of a source."""
    lines = SourceLines(text)
    edits: list[ProgramEdit] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and is_kernel(node):
            edits += _of_kernel(path, node, lines)
            edits += _order(path, node, tree, lines)
    return edits


def _of_kernel(path: str, kernel: ast.FunctionDef, lines: SourceLines) -> list[ProgramEdit]:
    accesses = _accesses(kernel)
    edits = []
    for keyword, kind in _KEYWORDS.items():
        for access in accesses:
            values = POLICIES if kind is EditKind.EVICTION else MODIFIERS[access.what]
            edits += _each(path, keyword, kind, access, values, lines)
        for what, modifiers in MODIFIERS.items():
            several = [access for access in accesses if access.what == what]
            values = POLICIES if kind is EditKind.EVICTION else modifiers
            edits += _all(path, f"{kernel.name}.{what}s", keyword, kind, several, values, lines)
    for node in ast.walk(kernel):
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Call):
            edits += _loop(path, f"{kernel.name}.loop@{_rank(kernel, node)}", node.iter, lines)
    return edits


def _accesses(kernel: ast.FunctionDef) -> list[_Access]:
    found: list[_Access] = []
    seen: dict[str, int] = {}
    calls = [node for node in ast.walk(kernel) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        what = ast.unparse(call.func).removeprefix("tl.")
        if what not in MODIFIERS or not call.args:
            continue
        names = [node for node in ast.walk(call.args[0]) if isinstance(node, ast.Name)]
        first = min(names, key=lambda node: (node.lineno, node.col_offset), default=None)
        site = f"{kernel.name}.{what}({first.id if first else '?'})"
        seen[site] = count = seen.get(site, 0) + 1
        found.append(_Access(site if count == 1 else f"{site}#{count}", what, call))
    return found


def _each(
    path: str,
    keyword: str,
    kind: EditKind,
    access: _Access,
    values: Sequence[str],
    lines: SourceLines,
) -> list[ProgramEdit]:
    """One access with another value of the keyword, or without it."""
    given = next((k for k in access.call.keywords if k.arg == keyword), None)
    if given is not None and not isinstance(given.value, ast.Constant):
        return []
    now = str(given.value.value) if given and isinstance(given.value, ast.Constant) else ""
    edits = []
    for value in (*values, ""):
        if value != now:
            piece = _set(path, keyword, access.call, value, lines)
            edits.append(ProgramEdit(kind, f"{access.site}.{keyword}", value, now, (piece,)))
    return edits


def _all(
    path: str,
    site: str,
    keyword: str,
    kind: EditKind,
    accesses: Sequence[_Access],
    values: Sequence[str],
    lines: SourceLines,
) -> list[ProgramEdit]:
    """All loads or all stores of a kernel with one value, those that say nothing yet."""
    silent = [a for a in accesses if keyword not in [k.arg for k in a.call.keywords]]
    if len(silent) < 2:
        return []
    return [
        ProgramEdit(
            kind,
            f"{site}.{keyword}",
            value,
            "",
            tuple(_set(path, keyword, access.call, value, lines) for access in silent),
        )
        for value in values
    ]


def _set(path: str, keyword: str, call: ast.Call, value: str, lines: SourceLines) -> Replacement:
    given = next((k for k in call.keywords if k.arg == keyword), None)
    if given is not None:
        start, end = lines.span(given.value, given.value)
        return Replacement(path, start, end, repr(value))
    last = last_argument(call)
    assert last is not None
    _, end = lines.span(last, last)
    return Replacement(path, end, end, f", {keyword}={value!r}")


def _rank(kernel: ast.FunctionDef, loop: ast.For) -> int:
    """Which loop of a kernel one is, counted from 1 in the order of the text."""
    lines = [node.lineno for node in ast.walk(kernel) if isinstance(node, ast.For)]
    return sorted(lines).index(loop.lineno) + 1


def _loop(path: str, site: str, call: ast.Call, lines: SourceLines) -> list[ProgramEdit]:
    """A loop with another number of stages in flight."""
    name = ast.unparse(call.func)
    last = last_argument(call)
    given = next((k for k in call.keywords if k.arg == "num_stages"), None)
    if (
        name not in ("range", "tl.range")
        or last is None
        or any(k.arg is None for k in call.keywords)
    ):
        return []
    edits = []
    for value in STAGES:
        if given is not None:
            if not isinstance(given.value, ast.Constant) or given.value.value == value:
                continue
            pieces = [Replacement(path, *lines.span(given.value, given.value), str(value))]
        else:
            _, end = lines.span(last, last)
            pieces = [Replacement(path, end, end, f", num_stages={value}")]
        if name == "range":
            pieces.insert(0, Replacement(path, *lines.span(call.func, call.func), "tl.range"))
        now = ast.unparse(given.value) if given else ""
        edits.append(ProgramEdit(EditKind.LOOP, site, str(value), now, tuple(pieces)))
    return edits


def _order(
    path: str, kernel: ast.FunctionDef, tree: ast.Module, lines: SourceLines
) -> list[ProgramEdit]:
    """The first and the last axis of a kernel's only grid, exchanged in grid and kernel."""
    launches = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Subscript)
        and ast.unparse(node.func.value) == kernel.name
    ]
    if len(launches) != 1 or "num_programs" in ast.unparse(kernel):
        return []
    (launch,) = launches
    assert isinstance(launch.func, ast.Subscript)
    grid = launch.func.slice
    places = _program_ids(kernel)
    if not isinstance(grid, ast.Tuple) or len(grid.elts) < 2 or places is None:
        return []
    first, last = grid.elts[0], grid.elts[-1]
    end = len(grid.elts) - 1
    pieces = [
        Replacement(path, *lines.span(first, first), ast.unparse(last)),
        Replacement(path, *lines.span(last, last), ast.unparse(first)),
    ]
    for node in places:
        if node.value in (0, end):
            other = str(end if node.value == 0 else 0)
            pieces.append(Replacement(path, *lines.span(node, node), other))
    value = f"{ast.unparse(last)},{ast.unparse(first)}"
    return [ProgramEdit(EditKind.ORDER, f"{kernel.name}.grid", value, "", tuple(pieces))]


def _program_ids(kernel: ast.FunctionDef) -> list[ast.Constant] | None:
    """The axes that a kernel asks its place on; None where one is computed."""
    found: list[ast.Constant] = []
    for node in ast.walk(kernel):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "tl.program_id":
            axis = (*node.args, *(k.value for k in node.keywords if k.arg == "axis"))
            if len(axis) != 1 or not isinstance(axis[0], ast.Constant):
                return None
            found.append(axis[0])
    return found or None
