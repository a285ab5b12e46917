"""Reads a report's pages as Nsight Compute prints them: CSV, base units, the C locale.

A value read wrongly by a factor of a thousand looks like a finding, so a number is taken in its
English form only and brought to seconds and bytes by the prefix of its unit; a cell of any other
form is left out. Pure.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping

from ..diagnosis.kernel_profile import Rule
from .kernel_profiles import RawKernel

_HEADER = '"ID"'
_NOT_METRICS = frozenset(
    {"ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Kernel Time", "Context"}
    | {"Stream", "Block Size", "Grid Size", "Device", "CC", "Section Name"}
)
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w.,])")
_LAUNCH = re.compile(
    r"^  \S.*\(\d+, \d+, \d+\)x\(\d+, \d+, \d+\), Context \d+, Stream \d+,", re.MULTILINE
)
"""The line over each launch of the details page as text."""
_UNIT = re.compile(r"([numKkMGT]?)(?:second|sec|s|byte|[Hh]z)(?:/.*)?")
_PREFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3}
_PREFIXES |= {"K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_RULE_CHARACTERS = 600


def read_report(raw: str, rules: str) -> list[RawKernel]:
    """Reads every launch of a report, in order, with the findings of the tool's rules.

    Args:
        raw: the raw page: a row of names, a row of units, then one row for each launch.
        rules: the details page: one row for each finding, by launch id.
    """
    found = _rules(rules)
    return [
        RawKernel(k.name, k.metrics, k.grid, k.block, tuple(found.get(str(i), ())))
        for i, k in enumerate(_launches(raw))
    ]


def launch_texts(details: str, count: int) -> list[str] | None:
    """The details page cut into its launches; None where it has not so many."""
    begins = [match.start() for match in _LAUNCH.finditer(details)]
    if len(begins) != count:
        return None
    ends = [*begins[1:], len(details)]
    return [details[begin:end] for begin, end in zip(begins, ends, strict=True)]


def _launches(text: str) -> list[RawKernel]:
    rows = _rows(text)
    if len(rows) < 2:
        return []
    header, *launches = rows
    units: Mapping[str, str] = {}
    if not launches[0][0].strip():  # the row of units has no launch id
        units, launches = dict(zip(header, launches[0], strict=False)), launches[1:]
    kernels = []
    for row in launches:
        cells = dict(zip(header, row, strict=False))
        metrics = {}
        for name, cell in cells.items():
            value = None if name in _NOT_METRICS else read_number(cell)
            scaled = math.nan if value is None else value * unit_factor(units.get(name, ""))
            if math.isfinite(scaled):
                metrics[name] = scaled
        kernels.append(
            RawKernel(
                name=cells.get("Kernel Name", "kernel"),
                metrics=metrics,
                grid=_extent(metrics, "grid", cells.get("Grid Size", "")),
                block=_extent(metrics, "block", cells.get("Block Size", "")),
            )
        )
    return kernels


def _rows(text: str) -> list[list[str]]:
    """The rows from the header on; lines before it are progress or the program's own output."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(_HEADER)), None)
    if start is None:
        return []
    return [row for row in csv.reader(io.StringIO("\n".join(lines[start:]))) if row]


def _extent(metrics: Mapping[str, float], kind: str, cell: str) -> tuple[int, ...]:
    axes = [metrics.get(f"launch__{kind}_dim_{axis}") for axis in "xyz"]
    known = [round(extent) for extent in axes if extent is not None]
    if len(known) == 3:
        return tuple(known)
    parts = (read_number(part) for part in cell.strip("() ").split(", "))
    return tuple(round(part) for part in parts if part is not None)


def _rules(text: str) -> dict[str, list[Rule]]:
    rows = _rows(text)
    found: dict[str, list[Rule]] = {}
    for row in rows[1:]:
        cells = dict(zip(rows[0], row, strict=False))
        message = " ".join(cells.get("Rule Description", "").split())
        if cells.get("Rule Name") and message:
            rule = Rule(
                name=cells["Rule Name"],
                message=message[:_RULE_CHARACTERS],
                speedup_percent=read_number(cells.get("Estimated Speedup", "")),
                kind=cells.get("Estimated Speedup Type", "").strip().lower() or None,
            )
            found.setdefault(cells.get("ID", ""), []).append(rule)
    return found


def read_number(cell: str) -> float | None:
    """Reads the number at the start of a cell; None where there is no finite one.

    What follows the number after a space (instances in brackets, a mark) is left out.
    """
    match = _NUMBER.match(cell.strip())
    value = float(match.group().replace(",", "")) if match else math.nan
    return value if math.isfinite(value) else None


def unit_factor(unit: str) -> float:
    """The factor that brings times to seconds, sizes to bytes, rates to either's; 1 for others."""
    match = _UNIT.fullmatch(unit.strip())
    return _PREFIXES[match.group(1)] if match else 1.0
