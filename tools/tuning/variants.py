"""The variants that a call asks for, each a solution: grids of constants, or whole workspaces.

How many there would be is known before the first is made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import RequestError
from ..schema.flashinfer_trace import Solution
from ..text import one_line
from .constants import Constants

MOST_VARIANTS = 256
LONGEST_NAME = 80
Grid = Mapping[str, Any]
"""By constant its values, as a list; one that is not in a list is the only one."""


@dataclass(frozen=True)
class Variant:
    """One program of many.

    Attributes:
        values: of the constants that it sets; empty for a workspace as it is.
        passed: those of them that Triton alone is given, by launches.
        started_from: what its workspace was opened from.
        plan: id of the plan that its workspace names.
    """

    name: str
    solution: Solution
    values: Mapping[str, Any] = field(default_factory=dict)
    started_from: str | None = None
    plan: str | None = None
    passed: frozenset[str] = frozenset()

    @property
    def content(self) -> str:
        """Hash of everything that changes its behaviour."""
        return self.solution.content_hash()


def grid_variants(solution: Solution, grids: Mapping[str, Grid]) -> list[Variant]:
    """The programs of some grids of constants, the grid of an empty name being the only one.

    Raises:
        RequestError: when there are none or too many, or a constant cannot be changed.
    """
    if not grids or not all(grids.values()):
        raise RequestError(
            "No constant is named that variants could differ in",
            remedy="Pass variants={'tile': {'BLOCK': [32, 64]}}, or write in candidate.toml a "
            "table [tune] with a line BLOCK = [32, 64].",
        )
    lists = {name: value_lists(grid) for name, grid in grids.items()}
    count = sum(math.prod(map(len, lists_of.values())) for lists_of in lists.values())
    if count > MOST_VARIANTS:
        raise RequestError(
            f"That would be {count} variants; at most {MOST_VARIANTS} are tried in a call",
            remedy="Name fewer values: a coarse grid first, then a fine one around the fastest.",
        )
    constants = Constants(solution, list(dict.fromkeys(c for grid in lists.values() for c in grid)))
    passed = constants.passed_to_triton()
    names, variants = _Names(), []
    for grid, values in _points(lists):
        name = names.new(_words(grid, values, lists[grid]))
        made = constants.with_values(values, _full(solution, name))
        variants.append(Variant(name, made, values, passed=passed))
    return variants


def distinct(variants: Sequence[Variant]) -> tuple[list[Variant], dict[str, str]]:
    """The variants without those that repeat another's bytes; by name of those, the other's."""
    first: dict[str, Variant] = {}
    repeated: dict[str, str] = {}
    for variant in variants:
        known = first.setdefault(variant.content, variant)
        if known is not variant:
            repeated[variant.name] = known.name
    return list(first.values()), repeated


def repeated_name(names: Sequence[str]) -> str | None:
    """The first name that is there twice."""
    return next((name for number, name in enumerate(names) if name in names[:number]), None)


def value_lists(grid: Grid) -> dict[str, list[Any]]:
    """The values to try of each constant of a grid.

    Raises:
        RequestError: when one is given none.
    """
    lists: dict[str, list[Any]] = {}
    for name, values in _flat(grid):
        lists[name] = list(values) if isinstance(values, list | tuple) else [values]
        if not lists[name]:
            raise RequestError(f"The constant {name!r} is given no value")
    return lists


def _flat(grid: Grid, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """TOML reads `_tile.BM = [64]` as a table in a table."""
    for name, values in grid.items():
        if isinstance(values, Mapping):
            yield from _flat(values, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", values


def _points(lists: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, grid in lists.items():
        for values in itertools.product(*grid.values()):
            yield name, dict(zip(grid, values, strict=True))


def _words(name: str, values: Mapping[str, Any], lists: Mapping[str, list[Any]]) -> str:
    """The name of a grid, and the values of those constants that take several in it."""
    varying = [
        f"{constant.rpartition('::')[2].rpartition('.')[2]}={_short(value)}"
        for constant, value in values.items()
        if len(lists[constant]) > 1 or not name
    ]
    return one_line(" ".join(filter(None, [name, *varying])), LONGEST_NAME)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else repr(value).replace(" ", "").replace("'", "")


def _full(solution: Solution, variant: str) -> str:
    return one_line(f"{solution.name} {variant}", 2 * LONGEST_NAME)


class _Names:
    """Names that differ: two that would be the same are numbered."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def new(self, name: str) -> str:
        found, number = name, 1
        while found in self._used:
            number += 1
            found = f"{name} ({number})"
        self._used.add(found)
        return found
