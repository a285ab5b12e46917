"""The code of a candidate's kernels: its figures, where it may be slow, and its text in part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from ....tools.profiling.code.findings import lines_of, loops_of, marks_of, waits_of
from ....tools.text import counted, short_uuid
from ..evaluation.static_check import config_words, mix_words
from ..result import Answer, Result
from ..text import axes_words, fitted, lines, number, showing, table

if TYPE_CHECKING:
    from ....tools.profiling.code.excerpts import CodeExcerpt
    from ....tools.profiling.code.findings import CodeLoop
    from ....tools.profiling.code.kernels import KernelCode
    from ....tools.profiling.code.service import CompiledCode

KERNELS = 6
LOOPS, LINES = 3, 5
LINE_CHARACTERS = 180
_WORTH = (
    *("tensor", "load_global", "async_copy", "bulk_copy", "load_shared", "store_shared"),
    *("local", "special_function"),
)
"""Classes that a loop or a source line is described by."""


class CodeKernelPart(Result):
    """One kernel as it was compiled."""

    kernel: str
    registers: int | None = None
    shared_bytes: int | None = None
    spill_bytes: int | None = None
    occupancy: float | None = None
    instructions: int | None = None
    warnings: list[str] = Field(default_factory=list)


class CodeAnswer(Answer):
    """What kernels were compiled to; the text that was asked for is in `summary`."""

    solution_name: str
    target: str
    kernels: list[CodeKernelPart] = Field(default_factory=list)
    next_offset: int | None = None
    folder: str = Field(description="Of the whole texts, as files.")


def overview(
    code: CompiledCode, kernels: list[KernelCode], other: CompiledCode | None
) -> CodeAnswer:
    """Sums the kernels up, and says what is different in another candidate's."""
    return fitted(lambda rows: _overview(code, kernels, other, rows), KERNELS)


def slice_answer(
    code: CompiledCode, kernel: KernelCode, form: str, found: CodeExcerpt
) -> CodeAnswer:
    """Shows part of one kernel's text."""
    return fitted(lambda rows: _slice(code, kernel, form, found, rows), len(found.lines))


def _overview(
    code: CompiledCode, kernels: list[KernelCode], other: CompiledCode | None, rows: int
) -> CodeAnswer:
    summary = lines(
        f"{code.solution_name} for {code.target}, as called with {axes_words(code.workload.axes)}: "
        f"{counted(len(kernels), 'kernel')}. Compiled, not run: nothing here is a time.",
        *(_kernel_words(one) for one in kernels[:rows]),
        showing(min(rows, len(kernels)), len(kernels), "name a `kernel`."),
        *(f"Note: {note}" for note in code.notes[:4]),
        _differences(kernels, other) if other is not None else None,
        "Next: show_code with a `form` and `around` (an opcode, 'kernel.py:12', 0x address) shows "
        "the text; profile_ncu says what it costs: then samples stand beside the instructions.",
    )
    return _answer(code, kernels[:rows], summary)


def _slice(
    code: CompiledCode, kernel: KernelCode, form: str, found: CodeExcerpt, rows: int
) -> CodeAnswer:
    shown = found.lines[:rows]
    body, last = [], None
    for place, text in shown:
        if last is not None and place != last + 1:
            body.append("  …")
        body.append(f"{place:>5}  {text[:LINE_CHARACTERS]}")
        last = place
    cut = len(shown) < len(found.lines)
    following = found.next_offset if not cut or found.matches else shown[-1][0] + 1
    fit = f"{counted(found.matches, 'line')} of the pattern; " if found.matches else ""
    summary = lines(
        f"{kernel.kernel.name} for {code.target}, {form}: {fit}{len(shown)} of {found.total} lines "
        "are here.",
        *body,
        f"Next: offset={following} goes on." if following is not None else "Nothing follows.",
    )
    answer = _answer(code, [kernel], summary)
    return answer.model_copy(update={"next_offset": following})


def _answer(code: CompiledCode, kernels: list[KernelCode], summary: str) -> CodeAnswer:
    return CodeAnswer(
        summary=summary,
        solution_name=code.solution_name,
        target=code.target,
        kernels=[_part(one) for one in kernels],
        folder=str(code.folder),
    )


def _part(one: KernelCode) -> CodeKernelPart:
    return CodeKernelPart.of(
        one.kernel,
        kernel=one.kernel.name,
        instructions=one.kernel.instructions.get("total"),
        warnings=one.warnings[:4],
    )


def _kernel_words(one: KernelCode) -> str:
    kernel = one.kernel
    config = config_words(kernel.config)
    occupancy = f", occupancy {100 * kernel.occupancy:.0f} %" if kernel.occupancy else ""
    limit = f" by {kernel.occupancy_limit}" if kernel.occupancy and kernel.occupancy_limit else ""
    marks = [
        f"{mark.what}: {mark.count}, {mark.in_loops} in loops ({_places(mark.places)})"
        for mark in marks_of(one.sass, kernel.target)
    ]
    heavy = [f"{place} {_classes(found)}" for place, found in lines_of(one.sass, LINES)]
    return lines(
        "",
        f"{kernel.name}" + (f" ({config})" if config else ""),
        f"  {kernel.registers} registers, {kernel.shared_bytes or 0} bytes shared, "
        f"{kernel.spill_bytes or 0} spilled{occupancy}{limit}; "
        f"{mix_words(kernel.instructions) or 'no instructions could be read'}",
        *(f"  {note}" for note in kernel.notes),
        *(f"  Assembler: {warning}" for warning in one.warnings[:4]),
        *(f"  Loop {_loop(loop)}" for loop in loops_of(one.sass)[:LOOPS]),
        f"  Lines with most instructions: {'; '.join(heavy)}" if heavy else None,
        *(f"  {mark}" for mark in marks),
        _wait_words(one),
    )


def _wait_words(one: KernelCode) -> str | None:
    """Where the warps of a profiled call waited, in the lines of the source."""
    if one.samples is None:
        return None
    found = [
        f"{line.place} {100 * line.share:.0f} % {line.reason}".rstrip()
        for line in waits_of(one.sass, one.samples, LINES)
    ]
    samples = counted(one.samples.samples, "sample")
    where = f"{short_uuid(one.sampled_on)}, {samples}"
    return f"  Where warps were in the profile of {where}: {'; '.join(found)}"


def _loop(loop: CodeLoop) -> str:
    place = f" ({loop.place})" if loop.place else ""
    return f"0x{loop.first:x} to 0x{loop.last:x}{place}: {_classes(loop.classes)}"


def _classes(found: Mapping[str, int]) -> str:
    parts = [f"{found[name]} {name.replace('_', ' ')}" for name in _WORTH if found.get(name)]
    return f"{found.get('total', 0)}" + (f" ({', '.join(parts)})" if parts else "")


def _places(places: Mapping[str, int]) -> str:
    return ", ".join(f"{place}: {count}" for place, count in places.items()) or "no source line"


def _differences(kernels: list[KernelCode], other: CompiledCode) -> str:
    """A table of what is different, kernels paired by name and then in order."""
    left = list(other.kernels)
    rows: list[list[str]] = []
    for one in kernels[:KERNELS]:
        match = next((k for k in left if k.kernel.name == one.kernel.name), None)
        match = match or (left[0] if left else None)
        if match is None:
            continue
        left.remove(match)
        name = one.kernel.name
        if match.kernel.name != name:
            name += f" / {match.kernel.name}"
        ours, theirs = _figures(one), _figures(match)
        rows += [
            [name[:60], what, number(ours.get(what, 0)), number(theirs.get(what, 0))]
            for what in dict.fromkeys([*ours, *theirs])
            if ours.get(what, 0) != theirs.get(what, 0)
        ]
    if not rows:
        return f"\nAgainst {other.solution_name}: no figure of the code is different."
    return f"\nAgainst {other.solution_name}, where they differ:\n" + table(
        ["kernel", "what", "this", "other"], rows
    )


def _figures(one: KernelCode) -> dict[str, float]:
    kernel = one.kernel
    figures: dict[str, float] = {
        "registers": kernel.registers or 0,
        "shared bytes": kernel.shared_bytes or 0,
        "spilled bytes": kernel.spill_bytes or 0,
        "occupancy": kernel.occupancy or 0.0,
    }
    return figures | {
        f"{name.replace('_', ' ')} instructions": count
        for name, count in kernel.instructions.items()
    }
