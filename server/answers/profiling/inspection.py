"""One call looked into: outputs and named tensors beside the reference's; it is no verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ....tools.schema.record_model import FiniteFloat
from ..result import Answer, Result
from ..text import axes_words, fitted, lines, number, showing, table

if TYPE_CHECKING:
    from ....tools.messages.judge import CallInspected, ComparedTensor
    from ....tools.profiling.inspection import InspectedCall

ROWS = 40
NO_VERDICT = "One call, looked into: no verdict, and no evidence of one."
CLOSE = 1e-2
"""Share of a tensor's norm by which rounding in 16 bits may part two ways of computing it."""


class InspectedPart(Result):
    """A tensor of the candidate's call beside the reference's."""

    name: str
    reference: str | None = None
    shape: list[int] = Field(default_factory=list)
    reference_shape: list[int] = Field(default_factory=list)
    dtype: str | None = None
    not_finite: int | None = None
    rms: FiniteFloat = None
    rms_relative: FiniteFloat = None
    max_absolute: FiniteFloat = None
    worst_index: list[int] = Field(default_factory=list)
    got: str | None = None
    expected: str | None = None


class InspectionAnswer(Answer):
    """What one call showed; never a verdict."""

    definition: str
    workload: str
    axes: dict[str, int] = Field(default_factory=dict)
    fault: str | None = None
    tensors: list[InspectedPart] = Field(default_factory=list)


def inspection_answer(definition: str, inspected: InspectedCall) -> InspectionAnswer:
    """Words what a call showed."""
    return fitted(lambda rows: _answer(definition, inspected, rows), ROWS)


def _answer(definition: str, inspected: InspectedCall, rows: int) -> InspectionAnswer:
    found, case = inspected.found, inspected.workload
    ours = [row for row in found.compared if row.name]
    alone = [row for row in found.compared if not row.name]
    sizes = axes_words(case.axes)
    own = " Sizes of your own, which no workload has." if inspected.own_sizes else ""
    summary = lines(
        f"{NO_VERDICT} {definition}, {sizes}.{own}",
        f"The candidate: {found.fault}" if found.fault else None,
        "Until then it named:" if found.fault and ours else None,
        f"The reference: {found.reference_fault}" if found.reference_fault else None,
        _first_wrong(ours),
        table(["tensor", "shape", "like", "error / norm", "worst"], map(_line, ours[:rows]))
        if ours
        else None,
        showing(min(rows, len(ours)), len(ours), "the rest did not fit."),
        _alone_words(alone),
        f"No place for: {', '.join(found.left_out[:8])}." if found.left_out else None,
        f"Not paired: {'; '.join(found.unpaired[:8])}." if found.unpaired else None,
        f"Next: {_next(found)}",
    )
    return InspectionAnswer(
        summary=summary,
        definition=definition,
        workload=case.uuid,
        axes=dict(case.axes),
        fault=found.fault or found.reference_fault,
        tensors=[
            InspectedPart.of(
                row,
                reference=row.reference or None,
                dtype=row.dtype or None,
                not_finite=row.not_finite or None,
                got=row.got or None,
                expected=row.expected or None,
            )
            for row in ours[:rows]
        ],
    )


def _differs(row: ComparedTensor) -> bool:
    relative = row.rms_relative
    return row.equal is False and (relative is None or relative > CLOSE or row.not_finite > 0)


def _first_wrong(rows: list[ComparedTensor]) -> str | None:
    """Which named tensors are far from the reference's, intermediate ones before outputs."""
    compared = [row for row in rows if row.equal is not None]
    wrong = [row.name for row in compared if _differs(row)]
    if not compared:
        return None
    if not wrong:
        who = f"All {len(compared)} that could be compared are"
        if len(compared) == 1:
            who = "The one that could be compared is"
        return f"{who} within {CLOSE:.0%} of the norm."
    return f"Farther than {CLOSE:.0%} of the norm: {', '.join(wrong[:8])}."


def _line(row: ComparedTensor) -> list[str]:
    like = row.reference or "–"
    if row.reference and row.equal is None:
        like += f" {row.reference_shape}"
    error = "equal" if row.equal else number(row.rms_relative)
    worst = _worst(row) if row.equal is False else ""
    odd = f" {row.not_finite} not finite" if row.not_finite else ""
    return [row.name, f"{row.shape} {row.dtype}{odd}", like, error, worst]


def _worst(row: ComparedTensor) -> str:
    """The element that is the farthest off; two that look alike differ in digits that are cut."""
    if row.got == row.expected:
        return f"{row.worst_index}: {row.got}, differs in later digits"
    return f"{row.worst_index}: {row.got}, not {row.expected}"


def _alone_words(rows: list[ComparedTensor]) -> str | None:
    if not rows:
        return None
    names = ", ".join(f"{row.reference} {row.reference_shape}" for row in rows[:12])
    return f"Only the reference names: {names}."


def _next(found: CallInspected) -> str:
    if found.fault:
        return "evaluate_kernel(scope='smoke') says more of a call that fails."
    return (
        "name tensors as the reference does, or pass `pairs`, to compare more of them; then "
        "evaluate_kernel, whose verdict alone counts."
    )
