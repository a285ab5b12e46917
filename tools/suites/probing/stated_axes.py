"""The axes that a problem states: sizes, expressions over other axes, and sizes by their digits."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping
from typing import Any

from ...schema.constraints import value_of


class UnfitProblemError(Exception):
    """A problem has no form that an operator can have; the words say why."""


def axes_of(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The axes, and the constraints that stand for expressions over variable ones.

    Raises:
        UnfitProblemError: when an expression is none, or is over what is no axis.
    """
    axes = {name: dict(axis) for name, axis in given.get("axes", {}).items()}
    constants = {n: a["value"] for n, a in axes.items() if a.get("type") == "const"}
    constraints = []
    for name, axis in axes.items():
        if axis.get("type") != "expr":
            continue
        names = names_in(axis.get("expression", ""))
        if unknown := names - set(axes):
            text = axis.get("expression")
            raise UnfitProblemError(f"axis {name!r} is {text!r}: no axis {', '.join(unknown)}")
        if names <= set(constants):
            size = size_of(name, axis["expression"], constants)
            axes[name] = {"type": "const", "value": size}
            constants[name] = size
        else:
            axes[name] = {"type": "var"}
            constraints.append(f"{name} == {axis['expression']}")
    return axes, constraints


def by_axes(tensors: Mapping[str, Any] | None, axes: dict[str, Any]) -> dict[str, Any]:
    """The tensors with an axis for each size that a shape gives by its digits; it is added."""

    def named(size: str) -> str:
        if not size.isdigit():
            return size
        axis = {"type": "const", "value": int(size)}
        free = ("n" + "_" * i + size for i in itertools.count())
        return next(name for name in free if axes.setdefault(name, axis) == axis)

    return {
        name: {**spec, "shape": [named(str(size)) for size in spec["shape"]]}
        if spec.get("shape")
        else spec
        for name, spec in (tensors or {}).items()
    }


def names_in(expression: str) -> set[str]:
    """The names in an expression.

    Raises:
        UnfitProblemError: when it is none.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise UnfitProblemError(f"the expression {expression!r} cannot be read") from error
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def size_of(name: str, expression: str, axes: Mapping[str, int]) -> int:
    """The size of an axis that is an expression over others.

    Raises:
        UnfitProblemError: when it is no size.
    """
    try:
        value = value_of(expression, axes)
    except ValueError as error:
        raise UnfitProblemError(f"axis {name!r}: {error}") from error
    if value != int(value) or value < 0:
        raise UnfitProblemError(f"axis {name!r} is {expression!r} = {value}, which is no size")
    return int(value)
