"""Which profilers this machine has, what each missing one costs, and how to get it.

Probed without running a kernel: paths, versions, the driver's own statement about who may read
counters. Nothing is changed: no module option, no clock, no capability of a file. Whether counters
can really be read shows only when Nsight Compute tries, so `counters` says what to expect.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pydantic import Field

from ..schema.evaluation import RecordModel

DRIVER_PARAMETERS = Path("/proc/driver/nvidia/params")
PROCESS_STATUS = Path("/proc/self/status")
PERMISSION_WORD = "ERR_NVGPUCTRPERM"
PERMISSION_REMEDY = (
    "Ask the machine's administrator to load the NVIDIA driver with "
    "NVreg_RestrictProfilingToAdminUsers=0, or give the container CAP_SYS_ADMIN."
)
_CAP_SYS_ADMIN = 21
_PROBE_S = 10.0
_INSTALLS = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/nvidia")


class ProfilingTool(RecordModel):
    """One profiler: there, or why not."""

    name: str
    found: bool
    path: str | None = None
    version: str | None = None
    reason: str | None = Field(default=None, description="Why it cannot be used.")
    costs: str | None = Field(default=None, description="What is lost without it.")
    remedy: str | None = None


class Capability(RecordModel):
    """What this machine can profile with."""

    ncu: ProfilingTool
    counters: ProfilingTool
    ncu_report: ProfilingTool
    compute_sanitizer: ProfilingTool
    nsys: ProfilingTool
    cupti: ProfilingTool
    admin_only: bool = Field(
        default=False, description="The driver gives counters to administrators only."
    )
    administrator: bool = Field(default=False, description="This process holds CAP_SYS_ADMIN.")

    @property
    def tools(self) -> tuple[ProfilingTool, ...]:
        """Every tool, for a listing."""
        return (
            self.ncu,
            self.counters,
            self.ncu_report,
            self.compute_sanitizer,
            self.nsys,
            self.cupti,
        )


@dataclass(frozen=True)
class Probe:
    """Where to look; replaced in tests."""

    which: Callable[[str], str | None] = shutil.which
    run: Callable[[list[str]], str] = field(default=lambda command: _output(command))
    driver_parameters: Path = DRIVER_PARAMETERS
    process_status: Path = PROCESS_STATUS
    installs: tuple[str, ...] = _INSTALLS
    has_module: Callable[[str], bool] = field(default=lambda name: _has_module(name))


def probe(probe: Probe | None = None) -> Capability:
    """Looks at this machine; takes the time of three `--version` calls."""
    where = probe or Probe()
    ncu = _ncu(where)
    admin_only = counters_are_restricted(_text(where.driver_parameters))
    administrator = _holds_sys_admin(_text(where.process_status))
    return Capability(
        ncu=ncu,
        counters=_counters(where, ncu, admin_only, administrator),
        ncu_report=_ncu_report(ncu),
        compute_sanitizer=_program(
            where,
            "compute-sanitizer",
            "Races and out-of-bounds accesses are found only when they change a result.",
            "It is part of the CUDA toolkit; put its folder on PATH.",
        ),
        nsys=_program(
            where,
            "nsys",
            "Nothing here: profile_timeline uses the torch profiler, which sees one process.",
            "Run `nsys profile` by hand where a timeline of several processes matters.",
        ),
        cupti=_cupti(where),
        admin_only=admin_only,
        administrator=administrator,
    )


@lru_cache(maxsize=1)
def capability() -> Capability:
    """The same, once for this process."""
    return probe()


def counters_are_restricted(driver_parameters: str) -> bool:
    """Whether the driver says that only administrators may read counters."""
    found = re.search(r"^RmProfilingAdminOnly:\s*(\d+)", driver_parameters, re.MULTILINE)
    return found is not None and found.group(1) != "0"


def report_module_folder(ncu: str) -> Path | None:
    """Finds the folder of Nsight Compute's own Python module beside an `ncu`.

    The command may be a link, or a script in a `bin` folder beside the versioned one.
    """
    real = Path(ncu).resolve()
    bases: list[Path] = [real.parent, *real.parents[:4]]
    for base in bases:
        candidates = [base, *sorted(base.glob("nsight-compute*"), reverse=True)]
        for folder in candidates:
            module = folder / "extras" / "python"
            if (module / "ncu_report.py").is_file():
                return module
    return None


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _holds_sys_admin(status: str) -> bool:
    found = re.search(r"^CapEff:\s*([0-9a-fA-F]+)", status, re.MULTILINE)
    return found is not None and bool(int(found.group(1), 16) >> _CAP_SYS_ADMIN & 1)


def _find(where: Probe, name: str, folders: Iterable[str]) -> str | None:
    found = where.which(name)
    if found:
        return found
    for folder in folders:
        direct = Path(folder) / name
        nested = sorted(Path(folder).glob(f"nsight-compute*/*/{name}"), reverse=True)
        for path in (direct, *sorted(Path(folder).glob(f"*/{name}"), reverse=True), *nested):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None


def _version(where: Probe, path: str) -> str | None:
    found = re.search(r"[Vv]ersion\s+(\d[\w.\-]*)", where.run([path, "--version"]))
    return found.group(1) if found else None


def _program(where: Probe, name: str, costs: str, remedy: str) -> ProfilingTool:
    path = _find(where, name, where.installs)
    if path is None:
        return ProfilingTool(
            name=name, found=False, reason=f"{name} was not found.", costs=costs, remedy=remedy
        )
    version = _version(where, path)
    if version is None:
        reason = f"{path} does not say its version, so it may not run."
        return ProfilingTool(
            name=name, found=False, path=path, reason=reason, costs=costs, remedy=remedy
        )
    return ProfilingTool(name=name, found=True, path=path, version=version)


def _ncu(where: Probe) -> ProfilingTool:
    return _program(
        where,
        "ncu",
        "No hardware counters: profiles come from the torch profiler, with durations and launch "
        "figures only.",
        "Install Nsight Compute (part of the CUDA toolkit) and put ncu on PATH.",
    )


def _counters(
    where: Probe, ncu: ProfilingTool, admin_only: bool, administrator: bool
) -> ProfilingTool:
    costs = "Profiles have durations and launch figures only, and no bottleneck by counters."
    if not ncu.found:
        return ProfilingTool(
            name="counters", found=False, reason="ncu is missing.", costs=costs, remedy=ncu.remedy
        )
    if admin_only and not administrator:
        return ProfilingTool(
            name="counters",
            found=False,
            reason=f"The driver gives counters to administrators only ({PERMISSION_WORD}).",
            costs=costs,
            remedy=PERMISSION_REMEDY,
        )
    return ProfilingTool(name="counters", found=True)


def _ncu_report(ncu: ProfilingTool) -> ProfilingTool:
    folder = report_module_folder(ncu.path) if ncu.path else None
    if folder is None:
        return ProfilingTool(
            name="ncu_report",
            found=False,
            reason="Nsight Compute's Python module is not beside ncu.",
            costs="Reports are read as CSV, which is slower and has fewer rule estimates.",
            remedy="Install the full Nsight Compute package (extras/python).",
        )
    return ProfilingTool(name="ncu_report", found=True, path=str(folder), version=ncu.version)


def _cupti(where: Probe) -> ProfilingTool:
    found = where.has_module("cupti")
    return ProfilingTool(
        name="cupti",
        found=found,
        reason=None if found else "cupti-python is not installed.",
        costs=None if found else "Latencies come from CUDA events, about 2 us too long.",
        remedy=None if found else "pip install cupti-python cuda-bindings",
    )
