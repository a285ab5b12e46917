"""Reads the samples of each instruction from a report's source page, as CSV of its SASS.

The page has a part for each launch, in order: a row with the kernel's name, a row of column names,
a row for each instruction. Column names differ between releases, so each is known by all of its
names; a part without addresses or samples is one without instructions. Pure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from ..diagnosis.stall_samples import SampledInstruction, SampledKernel, opcode_of
from .report import read_number

_NAME, _ADDRESS, _TEXT = "Kernel Name", "Address", "Source"
_ALL = ("Warp Stall Sampling (All Samples)", "Warp Stall Sampling (All Cycles)", "# Samples")
_REASON, _NOT_ISSUED = "stall_", "(Not Issued)"
_FULL_NAMES = {
    "dispatch": "dispatch_stall",
    "imc": "imc_miss",
    "lg": "lg_throttle",
    "long_sb": "long_scoreboard",
    "math": "math_pipe_throttle",
    "mio": "mio_throttle",
    "no_inst": "no_instructions",
    "short_sb": "short_scoreboard",
    "sleep": "sleeping",
    "tex": "tex_throttle",
    "gmma": "warpgroup_arrive",
}
"""Reasons as the counters of the same report call them."""


def read_source_page(text: str) -> list[SampledKernel]:
    """The samples of every launch of a report, in order."""
    return [_launch(name, header, rows) for name, header, rows in _parts(text)]


def _parts(text: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    name, header, rows = "", [], []
    for row in csv.reader(io.StringIO(text)):
        if len(row) > 1 and row[0] == _NAME:
            if name:
                yield name, header, rows
            name, header, rows = row[1], [], []
        elif name and not header and _ADDRESS in row and _TEXT in row:
            header = row
        elif header and len(row) == len(header):
            rows.append(row)
    if name:
        yield name, header, rows


def _launch(name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> SampledKernel:
    found: list[SampledInstruction] = []
    first: int | None = None
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        address = _address(cells.get(_ADDRESS, ""))
        if address is None:
            continue
        first = address if first is None else first
        reasons = _reasons(cells)
        total = next((_count(cells[column]) for column in _ALL if column in cells), None)
        found.append(
            SampledInstruction(
                address=address - first,
                opcode=opcode_of(cells[_TEXT]),
                samples=sum(reasons.values()) if total is None else total,
                reasons=reasons,
            )
        )
    return SampledKernel(name=name, instructions=found)


def _address(cell: str) -> int | None:
    try:
        return int(cell.strip(), 16)
    except ValueError:
        return None


def _reasons(cells: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for column, cell in cells.items():
        if column.startswith(_REASON) and not column.endswith(_NOT_ISSUED) and _count(cell):
            reason = column.removeprefix(_REASON)
            found[_FULL_NAMES.get(reason, reason)] = _count(cell)
    return found


def _count(cell: str) -> int:
    return round(read_number(cell) or 0)
