"""Decides a definition's constraint expressions without running any of their text.

A constraint is a line of Python such as ``num_v_heads % num_q_heads == 0`` that comes with a
dataset, from anyone. It is walked as a syntax tree that knows names of axes and inputs,
arithmetic, comparisons, boolean words, indexing, ``len``, ``.shape`` and ``.item()``; whatever else
it holds makes it unevaluable, and that is said, for a constraint that is skipped silently reads as
one that holds.

It knows nothing of torch: an input is anything with a ``shape`` and items. Where inputs are absent,
their shapes still follow from the axes; only their contents are missing.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..text import python_expression


class ConstraintStatus(StrEnum):
    """What is known of one constraint."""

    HOLDS = "holds"
    VIOLATED = "violated"
    UNDECIDED = "undecided"
    """It asks for the contents of inputs, and there are none yet."""
    UNEVALUABLE = "unevaluable"
    """It uses something this module refuses to run, or fails when it is evaluated."""


@dataclass(frozen=True)
class ConstraintCheck:
    """One constraint, what came of it, and why."""

    text: str
    outcome: ConstraintStatus
    why: str = ""


@dataclass(frozen=True)
class ShapeOnly:
    """Stands for an input whose shape is known and whose contents are not."""

    shape: tuple[int, ...] | None


def names_in(text: str) -> tuple[str, ...]:
    """The names of axes and inputs that a constraint uses, in alphabetical order."""
    tree = python_expression(text.strip())
    return tuple(sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}))


class _Unevaluable(Exception):
    """The expression uses something outside the small language."""


class _Undecided(Exception):
    """The expression asks for contents that are not there."""


MOST_BITS = 64
"""Of the numbers that an expression may raise others to: sizes are small."""


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > MOST_BITS or abs(base) > 2**MOST_BITS:
        raise _Unevaluable(f"{base} ** {exponent} is too large")
    return base**exponent


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def value_of(text: str, axes: Mapping[str, int]) -> float:
    """The number that an arithmetic expression over axes gives.

    Raises:
        ValueError: when it is none, or names what is no axis.
    """
    try:
        value = _evaluate(_parsed(text), axes)
    except (SyntaxError, ArithmeticError, _Unevaluable) as error:
        raise ValueError(f"the expression {text!r} has no value: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"the expression {text!r} is no number")
    return value


def check_constraint(text: str, names: Mapping[str, Any]) -> ConstraintCheck:
    """Evaluates one constraint, a Python expression; never raises for what it holds.

    `names` are axes as int, inputs as tensors, numbers or `ShapeOnly`.
    """
    try:
        value = _evaluate(_parsed(text), names)
        if isinstance(value, ShapeOnly):
            raise _Undecided("contents of an input")
        held = bool(value)
    except _Undecided as error:
        return ConstraintCheck(text, ConstraintStatus.UNDECIDED, f"needs the {error}")
    except _Unevaluable as error:
        return ConstraintCheck(text, ConstraintStatus.UNEVALUABLE, str(error))
    # Values come from anyone's tensors, so indexing and arithmetic may fail in any way.
    except Exception as error:
        return ConstraintCheck(
            text, ConstraintStatus.UNEVALUABLE, f"{type(error).__name__}: {error}"
        )
    return ConstraintCheck(text, ConstraintStatus.HOLDS if held else ConstraintStatus.VIOLATED)


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> ast.expr:
    """The expression; parsed once, for each is asked of every workload of its definition."""
    return python_expression(text.strip()).body


def _evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise _Unevaluable(f"unknown name {node.id!r}")
        return names[node.id]
    evaluate = _BY_NODE.get(type(node))
    if evaluate is None:
        raise _Unevaluable(f"{type(node).__name__} is not evaluated: {ast.unparse(node)}")
    return evaluate(node, names)


def _operand(node: ast.expr, names: Mapping[str, Any]) -> Any:
    value = _evaluate(node, names)
    if isinstance(value, ShapeOnly):
        raise _Undecided(f"contents of {ast.unparse(node)}")
    return value


def _unary(node: ast.UnaryOp, names: Mapping[str, Any]) -> Any:
    if type(node.op) not in _UNARY:
        raise _Unevaluable(f"{type(node.op).__name__} is not evaluated")
    return _UNARY[type(node.op)](_operand(node.operand, names))


def _binary(node: ast.BinOp, names: Mapping[str, Any]) -> Any:
    if type(node.op) not in _BINARY:
        raise _Unevaluable(f"{type(node.op).__name__} is not evaluated")
    return _BINARY[type(node.op)](_operand(node.left, names), _operand(node.right, names))


def _compare(node: ast.Compare, names: Mapping[str, Any]) -> bool:
    left = _operand(node.left, names)
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        if type(op) not in _COMPARE:
            raise _Unevaluable(f"{type(op).__name__} is not evaluated")
        right = _operand(right_node, names)
        if not bool(_COMPARE[type(op)](left, right)):
            return False
        left = right
    return True


def _boolean(node: ast.BoolOp, names: Mapping[str, Any]) -> bool:
    outcomes = (bool(_operand(value, names)) for value in node.values)
    return all(outcomes) if isinstance(node.op, ast.And) else any(outcomes)


def _index(node: ast.Subscript, names: Mapping[str, Any]) -> Any:
    value = _evaluate(node.value, names)
    keys = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    index = [int(_operand(key, names)) for key in keys]
    if isinstance(value, ShapeOnly):
        raise _Undecided(f"contents of {ast.unparse(node.value)}")
    return value[index[0] if len(index) == 1 else tuple(index)]


def _attribute(node: ast.Attribute, names: Mapping[str, Any]) -> tuple[int, ...]:
    if node.attr != "shape":
        raise _Unevaluable(f".{node.attr} is not evaluated")
    shape = _evaluate(node.value, names).shape
    if shape is None:
        raise _Unevaluable(f"{ast.unparse(node.value)} is a scalar and has no shape")
    return tuple(int(size) for size in shape)


def _call(node: ast.Call, names: Mapping[str, Any]) -> Any:
    if isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
        value = _evaluate(node.args[0], names)
        sizes: list[int] = list(getattr(value, "shape", None) or ())
        return sizes[0] if sizes else len(value)
    if isinstance(node.func, ast.Attribute) and node.func.attr == "item" and not node.args:
        value = _operand(node.func.value, names)
        return value if isinstance(value, (bool, int, float)) else value.item()
    raise _Unevaluable(f"a call is not evaluated: {ast.unparse(node)}")


_BY_NODE: dict[type[ast.expr], Callable[[Any, Mapping[str, Any]], Any]] = {
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.Compare: _compare,
    ast.BoolOp: _boolean,
    ast.Subscript: _index,
    ast.Attribute: _attribute,
    ast.Call: _call,
}
