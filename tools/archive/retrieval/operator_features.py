"""How alike two operators are: what one of them taught may hold for the other.

Pure. A number from 0 to 1 of their family (`op_type`), the operations of their references, their
axes and their types, with the words that it rests on. A guess that orders evidence, never a proof.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ...text import python_tree

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Definition

FAMILY, OPERATIONS, AXES, TYPES = 0.4, 0.3, 0.15, 0.15
"""Weights of what two operators may share; their sum is 1."""
LEAST_SIMILARITY = 0.25
"""Operators less alike than this teach each other nothing here."""
SAME_FAMILY = 0.5
"""Similarity of two operators of one family of which no definition is known."""
_SAID = 4
"""Shared features of each kind that are named."""
_LAYOUT = frozenset(
    "arange bool chunk clone contiguous device dim dtype empty empty_like expand expand_as flatten"
    " float full int item len list long max min no_grad numel ones permute range repeat_interleave"
    " reshape shape size squeeze stack t to tolist transpose tuple unflatten unsqueeze view zeros"
    " zeros_like zip".split()
)
"""Calls of a reference that only move or shape data: every operator has them."""


@dataclass(frozen=True)
class SimilarOperator:
    """An operator that another may learn from; `shared` says in words what they share."""

    definition: str
    similarity: float
    shared: str


def similar_operators(
    name: str, op_type: str | None, known: Mapping[str, Definition], archived: Mapping[str, str]
) -> tuple[SimilarOperator, ...]:
    """The archived operators that are like one, most alike first.

    Args:
        name: the operator's name.
        op_type: its family, where its definition is not known.
        known: definitions by name.
        archived: the family of each operator that has a candidate.
    """
    own = known.get(name)
    family = own.op_type if own is not None else op_type or archived.get(name, "")
    found: list[SimilarOperator] = []
    for other, other_family in archived.items():
        if other == name:
            continue
        theirs = known.get(other)
        if own is not None and theirs is not None:
            likeness, shared = similarity(own, theirs)
        else:
            same = bool(family) and family == other_family
            likeness, shared = (SAME_FAMILY, f"family {family}") if same else (0.0, "")
        if likeness >= LEAST_SIMILARITY:
            found.append(SimilarOperator(other, round(likeness, 2), shared))
    return tuple(sorted(found, key=lambda s: (-s.similarity, s.definition)))


def similarity(first: Definition, second: Definition) -> tuple[float, str]:
    """How alike two operators are, and what they share in words."""
    operations = operations_of(first.reference), operations_of(second.reference)
    axes = set(first.axes), set(second.axes)
    types = _types(first), _types(second)
    same_family = bool(first.op_type) and first.op_type == second.op_type
    likeness = (
        FAMILY * same_family
        + OPERATIONS * _overlap(*operations)
        + AXES * _overlap(*axes)
        + TYPES * _overlap(*types)
    )
    said = [f"family {first.op_type}"] if same_family else []
    said += [" ".join(sorted(one & other)[:_SAID]) for one, other in (operations, axes, types)]
    return likeness, "; ".join(filter(None, said))


@lru_cache(maxsize=512)
def operations_of(reference: str) -> frozenset[str]:
    """The operations that a reference calls, those left out that only move or shape data."""
    try:
        tree = python_tree(reference)
    except (SyntaxError, ValueError):
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                found.add(node.func.attr)
            elif isinstance(node.func, ast.Name):
                found.add(node.func.id)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.add("matmul")
    return frozenset(name.strip("_") for name in found) - _LAYOUT


def _types(definition: Definition) -> set[str]:
    tensors = [*definition.inputs.values(), *definition.outputs.values()]
    return {str(tensor.dtype) for tensor in tensors if tensor.shape}


def _overlap(one: Set[str], other: Set[str]) -> float:
    both = one | other
    return len(one & other) / len(both) if both else 0.0
