"""The parents of a child that chooses between them, by the names that they have in it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....errors import RequestError
from ....schema.flashinfer_trace import Definition, Solution
from ....text import one_line
from ...store.entry import Node, number
from ..record_holders import VirtualBest

_UNSAFE = re.compile(r"[^ -~]|[\\\"]")


@dataclass(frozen=True)
class Part:
    """One parent.

    Attributes:
        name: of its files and of its code in the child.
    """

    name: str
    node: Node
    solution: Solution

    @property
    def files(self) -> Mapping[str, str]:
        """Its sources by path."""
        return {source.path: source.content for source in self.solution.sources}


@dataclass(frozen=True)
class Choice:
    """Which part is called at which size.

    Attributes:
        axis: as words that end no comment and no docstring.
        argument: position of the tensor that has the axis, and `dimension` of it there.
        upto: size and part: the first whose size is not exceeded is called, and `last` above all.
        described: in lines, what was measured.
    """

    axis: str
    argument: int
    dimension: int
    upto: Sequence[tuple[int, Part]]
    last: Part
    described: Sequence[str]


def choice_between(definition: Definition, found: VirtualBest, parts: Sequence[Part]) -> Choice:
    """The choice that record holders mean; between two measured sizes the bound is in the middle.

    Raises:
        RequestError: when no input has the axis.
    """
    of_holder = {part.node.candidate_id: part for part in parts}
    called = [of_holder[band.holder.candidate_id] for band in found.bands]
    upto = [
        (max(band.high, math.isqrt(band.high * above.low)), part)
        for band, above, part in zip(found.bands, found.bands[1:], called, strict=False)
    ]
    axis = _plain(found.axis)
    described = []
    for band, part in zip(found.bands, called, strict=True):
        described.append(f"{part.name}: {_plain(part.node.name)} ({part.node.candidate_id}),")
        took = f"{number(band.latency_us)} us at a {axis} of {band.words}"
        described.append(f"    {took}; the best over all sizes {number(band.best_us)}.")
    return Choice(axis, *_place_of(definition, found.axis), upto, called[-1], described)


def _plain(name: str) -> str:
    """A name that anybody chose, as words that end no comment and no docstring."""
    return _UNSAFE.sub("_", one_line(name, 40))


def _place_of(definition: Definition, axis: str) -> tuple[int, int]:
    """Where host code reads an axis: the first input that has it, and the dimension there."""
    for position, spec in enumerate(definition.inputs.values()):
        if spec.shape is not None and axis in spec.shape:
            return position, list(spec.shape).index(axis)
    raise RequestError(
        f"No input of {definition.name} has the axis {axis!r}, so host code cannot read it",
        remedy="Write the choice by hand.",
    )
