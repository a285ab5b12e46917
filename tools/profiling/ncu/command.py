"""Nsight Compute's commands, and why it may leave no report.

Only the candidate's own range is profiled: collection is off until the profiled process calls
cudaProfilerStart, which it does after building, loading and warming up. Clocks are left alone.
Caches are flushed before each pass (the tool's default), which is what the timed calls do too, but
for every kernel of the call and not for the first alone.

Pure: builds commands and reads what was printed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...devices.environment import PERMISSION_REMEDY, PERMISSION_WORD

MAX_LAUNCHES = 64
"""Launches profiled in one process; each is replayed many times."""


OF_ONE_WORKLOAD = frozenset({"timeout", "nothing", "unexplained"})
"""Kinds of refusal after which counters are tried for the next workload all the same."""


class ProfileSet(StrEnum):
    """The set of counters to collect; more takes more passes."""

    BASIC = "basic"
    DETAILED = "detailed"
    FULL = "full"


_SECTIONS: dict[ProfileSet, tuple[str, ...]] = {
    ProfileSet.BASIC: ("WarpStateStats", "MemoryWorkloadAnalysis", "InstructionStats"),
    ProfileSet.DETAILED: (
        "WarpStateStats",
        "SchedulerStats",
        "InstructionStats",
    ),
    ProfileSet.FULL: (),
}
"""Sections that a diagnosis needs and that Nsight Compute's own set of that name leaves out."""

_COUNTERS: dict[ProfileSet, tuple[str, ...]] = {
    ProfileSet.DETAILED: (
        "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
        "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",
        "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum.pct_of_peak_sustained_elapsed",
        "smsp__sass_inst_executed_op_local_ld.sum",
        "smsp__sass_inst_executed_op_local_st.sum",
    ),
}
"""Counters that a diagnosis needs of the section MemoryWorkloadAnalysis_Tables, which as a whole
takes 13 passes of 33 on an H200, and as long as all others together."""


@dataclass(frozen=True)
class Refusal:
    """The reason why Nsight Compute gave no report."""

    kind: str
    what: str
    remedy: str


def ncu_command(
    ncu: str, profile_set: ProfileSet, report: Path, target: Sequence[str]
) -> list[str]:
    """Builds the command that profiles `target` and writes `report`.

    Args:
        report: file to write, ending in '.ncu-rep'.
        target: the profiled program; it brackets its range with cudaProfilerStart and Stop.
    """
    sections = [part for name in _SECTIONS[profile_set] for part in ("--section", name)]
    counters = _COUNTERS.get(profile_set, ())
    metrics = ["--metrics", ",".join(counters)] if counters else []
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
        *metrics,
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


def source_command(ncu: str, report: Path) -> list[str]:
    """Builds the command that prints what was sampled of each instruction, as CSV."""
    return [*import_command(ncu, report, "source"), "--csv", "--print-source", "sass"]


def refusal_of(output: str) -> Refusal | None:
    """Why there is no report, from what Nsight Compute printed; None when it names no cause."""
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
