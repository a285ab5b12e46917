"""Finds axes for tensors whose sizes are known for several cases.

Sizes that are the same in all cases are constant; sizes that change together are one axis, named
after what the task calls them where it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Column = tuple[int, ...]


class AxisTable:
    """The axes of a definition, found while its tensors are described.

    Args:
        named: values by case of what the task has a name for.
        taken: names that no axis may have.
    """

    def __init__(self, named: Mapping[str, Sequence[Any]], taken: Sequence[str] = ()) -> None:
        self._names = {
            tuple(values): name
            for name, values in named.items()
            if name.isidentifier() and name not in taken
        }
        self._columns: dict[str, Column] = {}

    def shape(self, shapes: Sequence[Sequence[int]]) -> list[str]:
        """The axes of a tensor that has these shapes, one of each case.

        Raises:
            ValueError: when the number of dimensions is not the same in all cases.
        """
        if len({len(shape) for shape in shapes}) != 1:
            raise ValueError("its number of dimensions changes from case to case")
        return [self._axis(column) for column in zip(*shapes, strict=True)]

    def spec(self, cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """An input or output of a definition, by its shape and dtype in each case.

        Raises:
            ValueError: when its dtype, or its number of dimensions, is not the same in all cases.
        """
        dtypes = {case["dtype"] for case in cases}
        if len(dtypes) > 1:
            raise ValueError(f"a tensor is of several dtypes: {', '.join(sorted(dtypes))}")
        shapes = [case["shape"] for case in cases]
        shape = None if None in shapes else self.shape(shapes)
        return {"shape": shape, "dtype": cases[0]["dtype"]}

    def _axis(self, column: Column) -> str:
        for name, known in self._columns.items():
            if known == column:
                return name
        if len(set(column)) == 1:
            name = f"n{column[0]}"
        else:
            name = self._names.get(column) or f"size_{len(self._columns)}"
        self._columns[name] = column
        return name

    @property
    def declared(self) -> dict[str, dict[str, Any]]:
        """The axes as a definition has them."""
        return {
            name: {"type": "const", "value": column[0]}
            if len(set(column)) == 1
            else {"type": "var"}
            for name, column in self._columns.items()
        }

    def sizes(self, case: int) -> dict[str, int]:
        """The sizes of the variable axes in a case."""
        return {n: column[case] for n, column in self._columns.items() if len(set(column)) > 1}
