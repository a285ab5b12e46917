"""What the integer inputs of a definition point into, read from its reference's code; pure.

An index is followed through names, casts and its elements, and what it points into through names
and what leaves its axes as they are. One that is computed with others points into nothing known.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

KEEPS_AXES = frozenset(
    ("float", "half", "bfloat16", "double", "to", "type", "clone", "contiguous", "detach", "cpu")
)
KEEPS_VALUES = KEEPS_AXES | {"long", "int", "item", "tolist", "flatten", "reshape", "view"}
BY_DIMENSION = ("index_select", "gather", "index_add", "index_copy")
OF_CLASSES = ("cross_entropy", "nll_loss")
OF_ROWS = ("embedding", "embedding_bag")
Axis = tuple[str, int]
"""An input and the position of one of its axes."""


@lru_cache(maxsize=256)
def indexed_axes(reference: str, inputs: tuple[str, ...]) -> Mapping[str, frozenset[Axis]]:
    """By input, the axes that the reference's `run` indexes by it.

    Args:
        inputs: names, in the order in which run takes them.
    """
    run = next(
        (
            node
            for node in ast.parse(reference).body
            if isinstance(node, ast.FunctionDef) and node.name == "run"
        ),
        None,
    )
    if run is None:
        return {}
    taken = [argument.arg for argument in (*run.args.posonlyargs, *run.args.args)]
    uses = _Uses(dict(zip(taken, inputs, strict=False)))
    for statement in run.body:
        uses.look_through(statement)
    return {name: frozenset(found) for name, found in uses.found.items()}


class _Uses:
    """Follows inputs through a function's statements, in their order."""

    def __init__(self, inputs: Mapping[str, str]) -> None:
        self._axes_of = dict(inputs)
        self._values_of = dict(inputs)
        self.found: dict[str, set[Axis]] = {}

    def look_through(self, node: ast.AST) -> None:
        """Notes what a statement indexes, and what its names stand for from there on."""
        if isinstance(node, ast.For):
            self._name(node.target, None, self._index(node.iter))
        for part in ast.iter_child_nodes(node):
            self.look_through(part)
        if isinstance(node, ast.Assign):
            self._assign(node)
        elif isinstance(node, ast.Subscript):
            self._subscript(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            self._call(node.func, node.args)

    def _assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for name, value in pairs:
                self._name(name, self._base(value), self._index(value))

    def _subscript(self, node: ast.Subscript) -> None:
        base = self._base(node.value)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        position = 0
        for part in parts:
            if isinstance(part, ast.Constant) and part.value is Ellipsis:
                return
            self._note(part, base, position)
            position += not (isinstance(part, ast.Constant) and part.value is None)

    def _call(self, function: ast.Attribute, given: Sequence[ast.expr]) -> None:
        if function.attr.rstrip("_") in BY_DIMENSION:
            if self._base(function.value) is not None:
                given = [function.value, *given]
            if len(given) > 2 and isinstance(given[1], ast.Constant):
                dimension: Any = given[1].value
                if isinstance(dimension, int) and dimension >= 0:
                    self._note(given[2], self._base(given[0]), dimension)
        elif function.attr in OF_CLASSES and len(given) > 1:
            self._note(given[1], self._base(given[0]), 1)
        elif function.attr in OF_ROWS and len(given) > 1:
            self._note(given[0], self._base(given[1]), 0)

    def _name(self, target: ast.expr, base: str | None, index: str | None) -> None:
        if isinstance(target, ast.Name):
            for known, value in ((self._axes_of, base), (self._values_of, index)):
                known.pop(target.id, None)
                if value is not None:
                    known[target.id] = value

    def _note(self, part: ast.expr, base: str | None, position: int) -> None:
        index = self._index(part)
        if base is not None and index is not None and index != base:
            self.found.setdefault(index, set()).add((base, position))

    def _base(self, node: ast.expr) -> str | None:
        """The input whose axes a value has."""
        if isinstance(node, ast.Name):
            return self._axes_of.get(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return self._base(node.func.value) if node.func.attr in KEEPS_AXES else None
        return None

    def _index(self, node: ast.expr) -> str | None:
        """The input whose values a value has, or some of them."""
        if isinstance(node, ast.Name):
            return self._values_of.get(node.id)
        if isinstance(node, ast.Subscript):
            return self._index(node.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return self._index(node.func.value) if node.func.attr in KEEPS_VALUES else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            return self._index(node.args[0]) if node.func.id == "int" else None
        return None
