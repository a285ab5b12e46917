"""Numbers of Python host code that a kernel may depend on: tiles, warps, stages, split factors.

A whole number counts where it alone is assigned, returned, an entry of a table, or a keyword of a
launch or a config, outside of kernels. What it means is not known: a number that must not change
makes a program that the judge refuses, once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import RequestError
from ...schema.flashinfer_trace import Solution
from ...tuning.constants import Constants
from ...tuning.python_constants import SourceLines
from ...tuning.variants import value_lists
from .edits import EditKind, ProgramEdit, Replacement, powers_near

WARPS = (1, 2, 4, 8, 16)
STAGES = (1, 2, 3, 4, 5)
LARGEST = 4096
_CONFIGS = ("Config",)


def number_edits(path: str, text: str, tree: ast.Module) -> list[ProgramEdit]:
    """Every edit of a number of the source's host code."""
    lines = SourceLines(text)
    found = _HostNumbers()
    found.collect(tree)
    edits: list[ProgramEdit] = []
    for name, node in _numbered(found.numbers):
        start, end = lines.span(node, node)
        value = node.value
        assert isinstance(value, int)
        for other in _others(name, value):
            piece = Replacement(path, start, end, str(other))
            edits.append(ProgramEdit(_kind(name), name, str(other), str(value), (piece,)))
    looping = _looping(tree)
    for kernel, call in found.launches:
        edits += _keywords(path, kernel, call, lines, staged=looping.get(kernel, True))
    return edits


def tune_edits(solution: Solution, tune: Mapping[str, Any]) -> list[ProgramEdit]:
    """The values that a workspace's table [tune] names; what cannot be changed is left out."""
    edits: list[ProgramEdit] = []
    for name, values in _listed(tune).items():
        try:
            constants = Constants(solution, [name])
            for value in values:
                path, pieces = constants.edits(name, value)
                changed = tuple(Replacement(path, p.start, p.end, text) for p, text in pieces)
                was = constants.written()[name]
                edits.append(ProgramEdit(_kind(name), f"[tune]{name}", str(value), was, changed))
        except RequestError:
            continue
    return edits


def _listed(tune: Mapping[str, Any]) -> Mapping[str, list[Any]]:
    try:
        return value_lists(tune)
    except RequestError:
        return {}


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is compiled for the device, by its decorators."""
    return any("jit" in ast.unparse(decorator) for decorator in function.decorator_list)


def last_argument(call: ast.Call) -> ast.expr | None:
    """The argument that is written last; None for a call without any."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return max(
        given, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0), default=None
    )


class _HostNumbers:
    """Collects numbers by name, and launches by their kernel."""

    def __init__(self) -> None:
        self.numbers: list[tuple[str, ast.Constant]] = []
        self.launches: list[tuple[str, ast.Call]] = []
        self._scope: list[str] = []

    def collect(self, node: ast.AST) -> None:
        """Goes through a tree, into no kernel."""
        if isinstance(node, ast.FunctionDef) and is_kernel(node):
            inside: Sequence[ast.AST] = node.decorator_list  # of an autotuned kernel: its configs
        elif isinstance(node, ast.FunctionDef):
            self._scope.append(node.name)
            for statement in node.body:
                self.collect(statement)
            self._scope.pop()
            return
        else:
            self._noted(node)
            inside = list(ast.iter_child_nodes(node))
        for child in inside:
            self.collect(child)

    def _noted(self, node: ast.AST) -> None:
        match node:
            case ast.Assign():
                for target in node.targets:
                    self._bind(target, node.value)
            case ast.AnnAssign(value=ast.expr() as value):
                self._bind(node.target, value)
            case ast.Return(value=ast.expr() as value):
                self._named("return", value)
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        self._named(key.value, value)
            case ast.Call():
                self._called(node)
            case _:
                pass

    def _called(self, node: ast.Call) -> None:
        """A launch, or a config of one, and their keywords."""
        launched = isinstance(node.func, ast.Subscript)
        name = ast.unparse(node.func.value if isinstance(node.func, ast.Subscript) else node.func)
        if launched:
            self.launches.append((name, node))
        if launched or name.rpartition(".")[2] in _CONFIGS:
            for keyword in node.keywords:
                if keyword.arg:
                    self._named(f"{name.rpartition('.')[2]}.{keyword.arg}", keyword.value)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            if len(target.elts) == len(value.elts):
                for one, part in zip(target.elts, value.elts, strict=True):
                    self._bind(one, part)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.IfExp):
            self._bind(target, value.body)
            self._bind(target, value.orelse)
        elif isinstance(target, ast.Name | ast.Attribute):
            self._named(ast.unparse(target), value)

    def _named(self, name: str, value: ast.expr) -> None:
        whole = ".".join([*self._scope, name])
        if isinstance(value, ast.Constant):
            if type(value.value) is int and 1 <= value.value <= LARGEST:
                self.numbers.append((whole, value))
        elif isinstance(value, ast.Tuple | ast.List):
            for number, part in enumerate(value.elts):
                self._named(f"{name}[{number}]", part)
        elif isinstance(value, ast.IfExp):
            self._named(name, value.body)
            self._named(name, value.orelse)


def _numbered(found: Sequence[tuple[str, ast.Constant]]) -> Iterator[tuple[str, ast.Constant]]:
    """Names that are there several times get the number of the place."""
    seen: dict[str, int] = {}
    for name, node in found:
        seen[name] = count = seen.get(name, 0) + 1
        yield (name if count == 1 else f"{name}#{count}"), node


def _kind(name: str) -> EditKind:
    last = name.rpartition(".")[2].lower()
    if "warp" in last:
        return EditKind.WARPS
    return EditKind.STAGES if "stage" in last else EditKind.TILE


def _others(name: str, value: int) -> list[int]:
    kind = _kind(name)
    if kind is EditKind.WARPS:
        return [number for number in WARPS if number != value]
    if kind is EditKind.STAGES:
        return [number for number in STAGES if number != value]
    return powers_near(value)


def _looping(tree: ast.Module) -> dict[str, bool]:
    """By kernel of a source, whether it has a loop, in itself or in what it calls."""
    kernels = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and is_kernel(n)}

    def loops(name: str, above: frozenset[str] = frozenset()) -> bool:
        inside = list(ast.walk(kernels[name]))
        called = {
            n.func.id for n in inside if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        below = (called & kernels.keys()) - above
        if any(isinstance(node, ast.For | ast.While) for node in inside):
            return True
        return any(loops(other, above | {name}) for other in below)

    return {name: loops(name) for name in kernels}


def _keywords(
    path: str, kernel: str, call: ast.Call, lines: SourceLines, *, staged: bool
) -> list[ProgramEdit]:
    """Warps and stages for a launch that leaves them to the compiler.

    Args:
        staged: whether stages may change anything: Triton has them of loops alone.
    """
    given = {keyword.arg for keyword in call.keywords}
    last = last_argument(call)
    if None in given or last is None:  # **table may name them
        return []
    _, end = lines.span(last, last)
    edits = []
    for keyword, values, kind in (
        ("num_warps", WARPS, EditKind.WARPS),
        ("num_stages", STAGES, EditKind.STAGES),
    ):
        if keyword in given or (kind is EditKind.STAGES and not staged):
            continue
        for value in values:
            piece = Replacement(path, end, end, f", {keyword}={value}")
            site = f"{kernel}.{keyword}"
            edits.append(ProgramEdit(kind, site, str(value), "", (piece,)))
    return edits
