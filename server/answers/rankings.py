"""A program's ranked operators as a screen of text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from .result import Answer, Result, first
from .text import table_lines, time_words

if TYPE_CHECKING:
    from ...tools.model_level.ranking.ranking import ModelRanking, RankedOperator

SHOWN = 12
LEAST_SHARE = 0.005
WIDEST = 48


class RankedPart(Result):
    """One operator of the program."""

    row: int
    name: str
    kind: str = Field(description="'module', 'function', or 'torch': none that can be extracted.")
    where: Annotated[list[str], first(4)] = Field(default_factory=list)
    calls: float = Field(description="A step.")
    time_us: float = Field(description="A step.")
    share: float = Field(description="Of the step.")
    floor_us: float
    gain_share: float = Field(description="Share of the step that can be won at most.")
    bound: float = Field(description="How many times as fast the step can become by it alone.")


class StepPart(Result):
    """What the program does again and again."""

    us: float
    gap_us: float = Field(description="In which no operator runs.")
    launch_bound: bool | None = Field(
        default=None, description="Whether the host limits it; absent without a GPU."
    )
    bound: float = Field(description="How many times as fast it can become by all together.")


class RankingAnswer(Answer):
    """A program's operators; the table is in `summary`."""

    status: str = Field(description="'DONE' or 'RUNNING'.")
    step: StepPart | None = None
    operators: list[RankedPart] = Field(default_factory=list)
    ranking_path: str | None = Field(default=None, description="The whole, for extract-operator.")


def ranking_answer(
    ranking: ModelRanking | None, path: Path | None, program: Sequence[str], step: str | None
) -> RankingAnswer:
    """Words a ranking; it is None while the program runs.

    Args:
        path: where it was written.
        step: as it was asked for.
    """
    if ranking is None or path is None:
        return RankingAnswer(
            summary="RUNNING: the program is under way. Next: the same call again waits for its "
            "end.",
            status="RUNNING",
        )
    shown = [one for one in ranking.operators if one.share >= LEAST_SHARE][:SHOWN]
    words = ["kernel-harness", "extract-operator", "--ranking", str(path), "--row", "ROW"]
    words += ["--out", "FOLDER", *(("--step", step) if step else ()), "--", *program]
    return RankingAnswer(
        summary=f"{ranking_text(ranking)}\nNext, for a row: {shlex.join(words)}",
        status="DONE",
        step=StepPart.of(ranking, us=ranking.step_us),
        operators=[
            RankedPart.of(one, kind=one.operator.kind, where=list(one.operator.where))
            for one in shown
        ],
        ranking_path=str(path),
    )


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
