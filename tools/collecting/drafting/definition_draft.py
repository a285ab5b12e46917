"""A draft of a Definition from recorded calls: axes from what varies and from what is equal.

Pure. A dimension that had one size in all calls is a constant axis; dimensions whose sizes were
equal in every call are one varying axis. What equals by chance is drawn together: the draft is to
be read by whoever uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...schema.flashinfer_trace import DType
from ..recording.call_groups import CallGroup


@dataclass(frozen=True)
class DefinitionDraft:
    """A definition without its reference, and the calls that it describes.

    Attributes:
        axes: as a Definition has them.
        sizes: of the varying axes, one for each group.
    """

    axes: dict[str, dict[str, Any]]
    inputs: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, Any]]
    constants: dict[str, Any]
    groups: tuple[CallGroup, ...]
    sizes: tuple[dict[str, int], ...]


def structure_of(group: CallGroup) -> tuple[Any, ...] | None:
    """What calls of one definition have in common; None where no definition can have it."""
    if group.outputs is None or not group.tensors:
        return None
    seen = [*group.tensors.items(), *((f"out{n}", o) for n, o in enumerate(group.outputs))]
    if any(tensor.dtype not in set(DType) for _, tensor in seen):
        return None
    kinds = tuple((name, type(value).__name__) for name, value in group.numbers.items())
    tensors = tuple((name, len(tensor.shape), tensor.dtype) for name, tensor in seen)
    constants = tuple(sorted(group.constants.items(), key=lambda item: item[0]))
    return tensors, kinds, constants, group.written, group.returns


def draft_of(groups: Sequence[CallGroup]) -> DefinitionDraft:
    """The draft of calls with one structure.

    Args:
        groups: at least one.
    """
    first = groups[0]
    assert first.outputs is not None
    places: list[tuple[str, int]] = []
    columns: dict[tuple[str, int], tuple[int, ...]] = {}
    every = [_shapes(group) for group in groups]
    for name, shape in every[0].items():
        for dimension in range(len(shape)):
            places.append((name, dimension))
            columns[name, dimension] = tuple(shapes[name][dimension] for shapes in every)
    names: dict[tuple[int, ...], str] = {}
    axes: dict[str, dict[str, Any]] = {}
    for place in places:
        column = columns[place]
        if column in names:
            continue
        constant = len(set(column)) == 1
        name = f"size_{column[0]}" if constant else f"{place[0]}_{place[1]}"
        names[column] = name
        axes[name] = {"type": "const", "value": column[0]} if constant else {"type": "var"}
    forms = {
        name: {
            "shape": [names[columns[name, d]] for d in range(len(shape))],
            "dtype": _dtype(first, name),
        }
        for name, shape in every[0].items()
    }
    outputs = {name: forms[name] for name in _output_names(first)}
    inputs: dict[str, dict[str, Any]] = {
        name: form for name, form in forms.items() if name not in outputs
    }
    for name, value in first.numbers.items():
        inputs[name] = {"shape": None, "dtype": "float32" if isinstance(value, float) else "int64"}
    sizes = tuple(
        {name: column[index] for column, name in names.items() if axes[name]["type"] == "var"}
        for index in range(len(groups))
    )
    return DefinitionDraft(axes, inputs, outputs, dict(first.constants), tuple(groups), sizes)


def _output_names(group: CallGroup) -> list[str]:
    """Those of outputs: of what was written into arguments, after them."""
    if group.written:
        return [f"{name}_written" for name in group.written]
    count = len(group.outputs or ())
    return ["output"] if count == 1 else [f"output_{number}" for number in range(count)]


def _shapes(group: CallGroup) -> Mapping[str, tuple[int, ...]]:
    found = {name: tensor.shape for name, tensor in group.tensors.items()}
    outputs = zip(_output_names(group), group.outputs or (), strict=True)
    return found | {name: tensor.shape for name, tensor in outputs}


def _dtype(group: CallGroup, name: str) -> str:
    named = dict(zip(_output_names(group), group.outputs or (), strict=True))
    return (group.tensors.get(name) or named[name]).dtype
