"""Nsight Compute: the command, its reports as CSV or as its module gives them, and its refusals.

Only the candidate's own range is profiled: collection is off until the profiled process calls
cudaProfilerStart, which it does after building, loading and warming up. Clocks are left alone.
Caches are flushed before each pass (the tool's default), which is what the timed calls do too, but
for every kernel of the call and not for the first alone.

Pure: building commands and reading texts. `service` runs them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...devices.profilers import PERMISSION_REMEDY, PERMISSION_WORD
from .kernel_profiles import RawKernel
from .quantities import Quantity, base_unit, detect_style, parse_number, quantity

MAX_LAUNCHES = 64
"""Launches profiled in one call; each is replayed many times."""
_HEADER = '"ID"'
_NOT_METRICS = frozenset(
    {"ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Kernel Time", "Context"}
    | {"Stream", "Block Size", "Grid Size", "Device", "CC", "Section Name"}
)


class ProfileSet(StrEnum):
    """How much is collected; more takes more passes."""

    BASIC = "basic"
    DETAILED = "detailed"
    FULL = "full"


_SECTIONS: dict[ProfileSet, tuple[str, ...]] = {
    ProfileSet.BASIC: ("WarpStateStats", "MemoryWorkloadAnalysis", "InstructionStats"),
    ProfileSet.DETAILED: (
        "WarpStateStats",
        "SchedulerStats",
        "InstructionStats",
        "MemoryWorkloadAnalysis_Tables",
        "SourceCounters",
    ),
    ProfileSet.FULL: (),
}
"""Sections that a diagnosis needs and that Nsight Compute's own set of that name leaves out."""


@dataclass(frozen=True)
class Refusal:
    """Why Nsight Compute gave no report."""

    kind: str
    what: str
    remedy: str


def ncu_command(
    ncu: str, profile_set: ProfileSet, report: Path, target: Sequence[str]
) -> list[str]:
    """Builds the command that profiles `target` and writes `report`.

    Args:
        ncu: path of Nsight Compute's command line.
        profile_set: how much to collect.
        report: file to write, ending in '.ncu-rep'.
        target: the profiled program; it brackets its range with cudaProfilerStart and Stop.
    """
    sections = [part for name in _SECTIONS[profile_set] for part in ("--section", name)]
    return [
        ncu,
        "--config-file",
        "off",
        "--clock-control",
        "none",
        "--profile-from-start",
        "off",
        "--target-processes",
        "application-only",
        "--launch-count",
        str(MAX_LAUNCHES),
        "--set",
        profile_set.value,
        *sections,
        "--force-overwrite",
        "--export",
        str(report),
        *target,
    ]


def import_command(ncu: str, report: Path, page: str) -> list[str]:
    """Builds the command that prints one page of a report: CSV for 'raw', text for 'details'."""
    command = [ncu, "--config-file", "off", "--import", str(report), "--page", page]
    if page == "raw":
        return [*command, "--csv", "--print-units", "base"]
    return command


def rules_command(ncu: str, report: Path) -> list[str]:
    """Builds the command that prints the details page, with its rules, as CSV."""
    return [*import_command(ncu, report, "details"), "--csv"]


def refusal_of(output: str) -> Refusal | None:
    """Finds in Nsight Compute's own words why there is no report; None when it names no cause."""
    for pattern, kind, what, remedy in _REFUSALS:
        if re.search(pattern, output):
            return Refusal(kind, what, remedy)
    return None


_REFUSALS = (
    (
        PERMISSION_WORD,
        "permission",
        "The driver does not give hardware counters to this account",
        PERMISSION_REMEDY,
    ),
    (
        r"driver resource was unavailable|ResourceUnavailable|DCGM",
        "resource",
        "Another tool holds the hardware counters",
        "Stop the other profiler, or pause DCGM with `dcgmi profile --pause`.",
    ),
    (
        r"LibraryNotLoaded|Failed to load .*injection|cuInit\(\) has not been called",
        "injection",
        "Nsight Compute could not attach to the process",
        "Use an Nsight Compute at least as new as the driver's CUDA.",
    ),
    (
        r"InterprocessLockFailed|Failed to open .*lock",
        "lock",
        "Nsight Compute could not take its lock file",
        "Remove the stale nsight-compute-lock file from the temporary folder.",
    ),
    (
        r"No kernels were profiled|No metrics to collect",
        "nothing",
        "No kernel was launched in the profiled call",
        "Look at profile_timeline: the call may do its work on the host or by a CUDA graph.",
    ),
    (
        r"not supported on|Unsupported GPU|unsupported (?:device|gpu)",
        "unsupported",
        "This Nsight Compute does not support the device",
        "Install a release that names this GPU.",
    ),
)


def read_raw_csv(text: str) -> list[RawKernel]:
    """Reads the raw page: a row of names, a row of units, then one row for each launch.

    Lines before the header are the tool's progress or the program's own output. A cell without a
    finite number is left out; numbers are brought to base units whatever prefix their unit has.
    """
    rows = _rows(text)
    if len(rows) < 2:
        return []
    header, *rest = rows
    units, launches = _split_units(header, rest)
    style = detect_style(cell for row in launches for cell in row)
    kernels = []
    for row in launches:
        cells = dict(zip(header, row, strict=False))
        metrics: dict[str, Quantity] = {}
        for name, cell in cells.items():
            if name in _NOT_METRICS:
                continue
            value = quantity(cell, units.get(name, ""), style)
            if value is not None:
                metrics[name] = value
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
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(_HEADER)), None)
    if start is None:
        return []
    return [row for row in csv.reader(io.StringIO("\n".join(lines[start:]))) if row]


def _split_units(
    header: Sequence[str], rows: list[list[str]]
) -> tuple[Mapping[str, str], list[list[str]]]:
    """The row of units has no launch id; a page with one metric a row has none."""
    if rows and not rows[0][0].strip():
        return dict(zip(header, rows[0], strict=False)), rows[1:]
    return {}, rows


def _extent(metrics: Mapping[str, Quantity], kind: str, cell: str) -> tuple[int, ...]:
    axes = [metrics.get(f"launch__{kind}_dim_{axis}") for axis in "xyz"]
    known = [round(q.value) for q in axes if q is not None]
    if len(known) == 3:
        return tuple(known)
    parts = (parse_number(part) for part in cell.strip("() ").split(", "))
    return tuple(round(part) for part in parts if part is not None)


def read_rules_csv(text: str) -> dict[str, list[dict[str, object]]]:
    """Reads the rules of the details page, by launch id."""
    rows = _rows(text)
    if not rows:
        return {}
    header, *rest = rows
    found: dict[str, list[dict[str, object]]] = {}
    for row in rest:
        cells = dict(zip(header, row, strict=False))
        if not cells.get("Rule Name"):
            continue
        found.setdefault(cells.get("ID", ""), []).append(
            {
                "name": cells["Rule Name"],
                "message": cells.get("Rule Description", ""),
                "speedup_percent": parse_number(cells.get("Estimated Speedup", "")),
                "kind": cells.get("Estimated Speedup Type", "").strip().lower() or None,
            }
        )
    return found


def with_rules(
    kernels: Sequence[RawKernel], rules: Mapping[str, Sequence[Mapping[str, object]]]
) -> list[RawKernel]:
    """Joins launches, in the order of the raw page, with the rules of the details page."""
    return [
        RawKernel(k.name, k.metrics, k.grid, k.block, tuple(rules.get(str(i), ())))
        for i, k in enumerate(kernels)
    ]


def read_module_json(text: str) -> list[RawKernel]:
    """Reads what `report_reader` printed: one JSON object a line for each launch.

    Raises:
        ValueError: when a line is not such an object.
    """
    kernels = []
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        launch = json.loads(line)
        metrics = dict(_module_metrics(launch["metrics"]))
        kernels.append(
            RawKernel(
                name=str(launch["name"]),
                metrics=metrics,
                grid=_extent(metrics, "grid", ""),
                block=_extent(metrics, "block", ""),
                rules=tuple(launch.get("rules", ())),
            )
        )
    return kernels


def _module_metrics(metrics: Mapping[str, Sequence[object]]) -> Iterable[tuple[str, Quantity]]:
    for name, (value, unit) in metrics.items():
        if isinstance(value, int | float):
            factor, word = base_unit(str(unit))
            yield name, Quantity(float(value) * factor, word)
