"""A task's text with smaller sizes, for a machine that its own are too large for.

Sizes are what a file assigns to names at its top level: `batch_size = 4096`, `shape = (512, 512)`.
Whatever else a task spells, as a kernel of 3 by 3, stays; where the smaller sizes do not fit
together, the code fails, and a smaller factor is to be tried.
"""

from __future__ import annotations

import ast
from collections.abc import Set

LEAST = 8
"""Numbers up to this one are kernels, strides, groups and counts of layers: they stay."""


def reduced(text: str, factor: int, like: str | None = None) -> str:
    """The text with every size divided by a factor, to at least `LEAST`.

    Args:
        like: another text; of this one only what it also says at its top level is made smaller.
    """
    if factor <= 1:
        return text
    lines = text.splitlines(keepends=True)
    said = None if like is None else {ast.dump(statement) for statement in ast.parse(like).body}
    for node in sorted(_sizes(text, said), key=lambda n: (n.lineno, n.col_offset), reverse=True):
        row = lines[node.lineno - 1].encode()
        value = str(max(LEAST, int(str(node.value)) // factor)).encode()
        row = row[: node.col_offset] + value + row[node.end_col_offset :]
        lines[node.lineno - 1] = row.decode()
    return "".join(lines)


def factors_down_from(factor: int) -> list[int]:
    """The factors to be tried, largest first; the last one changes nothing."""
    found = [max(factor, 1)]
    while found[-1] > 1:
        found.append(found[-1] // 2)
    return found


def _sizes(text: str, said: Set[str] | None) -> list[ast.Constant]:
    return [
        node
        for statement in ast.parse(text).body
        if said is None or ast.dump(statement) in said
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
        for node in ast.walk(statement.value)
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value > LEAST
    ]
