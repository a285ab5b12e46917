"""A program's ranked operators as a screen of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .text import table_lines, time_words

if TYPE_CHECKING:
    from ...tools.model_level.ranking.ranking import ModelRanking, RankedOperator

SHOWN = 12
LEAST_SHARE = 0.005
WIDEST = 48


def ranking_text(ranking: ModelRanking) -> str:
    """A ranking as a screen of text."""
    seen = ranking.observed
    lines = [
        f"A step of {seen.step} takes {time_words(ranking.step_us)} on {seen.device or 'the CPU'}; "
        f"operators run {time_words(ranking.busy_us)} of it, none {time_words(ranking.gap_us)}."
    ]
    if seen.device:
        lines.append(f"{ranking.launches:.0f} kernels are launched a step.")
    if ranking.launch_bound:
        lines.append(
            f"It is launch-bound: the host takes {time_words(ranking.host_us)} to launch a step. "
            "Fewer kernels, CUDA graphs or torch.compile gain before quicker kernels do."
        )
    lines += ["", *_table(ranking.operators)]
    lines.append(
        f"All operators at their floors: {_times(ranking.bound)}. Floors are by {ranking.rates}."
    )
    blocks = [one for one in ranking.blocks if one.operator.where != ("",)]
    if blocks:
        lines += ["", "Blocks of several operators, each with all in it:", *_table(blocks)]
    return "\n".join(lines)


def _table(rows: Sequence[RankedOperator]) -> list[str]:
    shown = [one for one in rows if one.share >= LEAST_SHARE][:SHOWN]
    head = ("row", "operator", "calls", "time", "share", "floor", "won at most", "then")
    cells = [head] + [
        (
            str(one.row),
            _called(one),
            f"{one.calls:.0f}",
            time_words(one.time_us),
            f"{one.share:.1%}",
            time_words(one.floor_us),
            f"{one.gain_share:.1%}",
            _times(one.bound),
        )
        for one in shown
    ]
    lines = table_lines(cells, 1)
    if left := len(rows) - len(shown):
        lines.append(f"and {left} more in the JSON")
    return lines


def _called(one: RankedOperator) -> str:
    """The operator with what tells it from others of its name."""
    operator = one.operator
    name = operator.name
    if operator.kind == "torch":
        name = f"{name} in {operator.where[0]}" if operator.where else name
    if operator.parameters:
        sizes = ["x".join(map(str, shape)) or "1" for shape in operator.parameters[:2]]
        name = f"{name} [{', '.join(sizes)}{', …' if len(operator.parameters) > 2 else ''}]"
    return name if len(name) <= WIDEST + 16 else "…" + name[-WIDEST - 15 :]


def _times(bound: float) -> str:
    return f"{bound:.2f}x" if bound < 100 else ">100x"
