"""What this machine has: GPUs, compilers, profilers, libraries; what each missing thing costs.

Light: no torch is imported and no process is started but small version queries. Nothing is changed:
no module option, no clock, no capability of a file. Whether a GPU works shows only when a judge
uses it, and whether counters can be read only when Nsight Compute tries; this says what to expect.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from ..schema.evaluation import DeviceInfo, Executor, Isolation
from ..schema.record_model import RecordModel
from ..settings import Settings
from .gpus import (
    chosen_devices,
    device_pools,
    devices_text,
    nvidia_devices,
    pools_text,
    torch_has_cuda,
)

PERMISSION_WORD = "ERR_NVGPUCTRPERM"
PERMISSION_REMEDY = (
    "Ask the machine's administrator to load the NVIDIA driver with "
    "NVreg_RestrictProfilingToAdminUsers=0, or give the container CAP_SYS_ADMIN."
)
COUNTERS = "permission for counters"
OF_A_GPU = frozenset({"ncu", COUNTERS, "compute-sanitizer", "cupti-python"})
"""Tools that do nothing without a GPU; where there is none, nobody misses them."""

LIBRARIES = ("torch", "triton", "mcp", "numpy", "scipy", "cupti-python", "cuda-bindings")


_CAP_SYS_ADMIN = 21
_VERSION_S = 10.0


class Tool(RecordModel):
    """One tool of the toolchain: found, or why not, what that costs and what to do."""

    name: str
    found: bool
    path: str | None = None
    version: str | None = None
    reason: str | None = None
    costs: str | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class MachineTools:
    """Compilers, profilers and packages of this machine, found or not."""

    nvcc: Tool
    ncu: Tool
    counters: Tool
    compute_sanitizer: Tool
    cupti: Tool
    triton: Tool
    tvm_ffi: Tool
    admin_only: bool = False
    """The driver gives hardware counters to administrators only."""
    administrator: bool = False
    """This process holds CAP_SYS_ADMIN."""

    @property
    def listed(self) -> list[Tool]:
        """The tools; without Nsight Compute nothing is said of the permission that it needs."""
        values = (getattr(self, each.name) for each in fields(self))
        tools = [value for value in values if isinstance(value, Tool)]
        return [tool for tool in tools if self.ncu.found or tool is not self.counters]


@dataclass(frozen=True)
class Places:
    """Where tools are looked for; replaced in tests."""

    which: Callable[[str], str | None] = shutil.which
    run: Callable[[list[str]], str] | None = None
    driver_parameters: Path = Path("/proc/driver/nvidia/params")
    process_status: Path = Path("/proc/self/status")
    installs: tuple[str, ...] = (
        "/usr/local/cuda/bin",
        "/usr/local/cuda/compute-sanitizer",
        "/opt/nvidia",
    )


class EnvironmentReport(RecordModel):
    """Devices, tools and isolation of this machine, as `check_environment` reports them."""

    devices: list[DeviceInfo]
    executor: Executor
    device: str
    toolchain: list[Tool]
    isolation: Isolation | None
    isolation_note: str
    libraries: dict[str, str]
    python: str
    archive_path: str
    workspaces_path: str
    dataset_paths: list[str]
    dataset_problems: list[str]
    notes: list[str]

    @property
    def lacks_its_device(self) -> bool:
        """Whether trials are to run on a GPU of a number that this machine has not."""
        usable = sum(device.executor is Executor.CUDA for device in self.devices)
        kind, _, numbers = self.device.partition(":")
        return kind == "cuda" and max(map(int, numbers.split(","))) >= usable

    def missing(self) -> list[Tool]:
        """Tools that this machine could use and does not have."""
        useless = OF_A_GPU if self.executor is Executor.INTERPRETER else frozenset[str]()
        return [tool for tool in self.toolchain if not tool.found and tool.name not in useless]

    def needed_with_a_gpu(self) -> list[str]:
        """Tools that will be missed once there is a GPU; none where there is one."""
        useless = self.executor is Executor.INTERPRETER
        return [t.name for t in self.toolchain if not t.found and t.name in OF_A_GPU and useless]


def find_tools(places: Places | None = None) -> MachineTools:
    """Looks for every tool; takes the time of three `--version` calls."""
    where = places or Places()
    ncu = _program(
        where,
        "ncu",
        "profile_ncu has no hardware counters; it falls back to the torch profiler",
        "Install Nsight Compute; counters need the driver's permission (ERR_NVGPUCTRPERM).",
    )
    restricted = counters_are_restricted(_text(where.driver_parameters))
    administrator = _holds_sys_admin(_text(where.process_status))
    return MachineTools(
        nvcc=_program(
            where,
            "nvcc",
            "CUDA C++ candidates cannot be built or checked for sm_90a and sm_100a",
            "Install the CUDA toolkit (13 or later) and put nvcc on PATH.",
        ),
        ncu=ncu,
        counters=_counters(ncu, permitted=administrator or not restricted),
        compute_sanitizer=_program(
            where,
            "compute-sanitizer",
            "races and out-of-bounds reads are found only when they change a result",
            "It is part of the CUDA toolkit; put it on PATH.",
        ),
        cupti=_package(
            "cupti-python",
            "cupti",
            "latencies come from CUDA events, about 2.4 µs too long",
            install_command("cupti-python cuda-bindings"),
        ),
        triton=_package(
            "triton",
            "triton",
            "Triton candidates cannot run",
            f"{install_command('triton')} (Linux).",
        ),
        tvm_ffi=_package(
            "apache-tvm-ffi",
            "tvm_ffi",
            "CUDA C++ candidates with the tvm-ffi binding cannot be built",
            install_command("apache-tvm-ffi"),
        ),
        admin_only=restricted,
        administrator=administrator,
    )


def install_command(packages: str) -> str:
    """The command that adds packages to the interpreter that runs the harness.

    Another one's pip installs elsewhere, and what uv made has none of its own.
    """
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip") is None:
        return f"uv pip install --python {python} {packages}"
    return f"{python} -m pip install {packages}"


def counters_are_restricted(driver_parameters: str) -> bool:
    """Whether the driver restricts counters to administrators."""
    found = re.search(r"^RmProfilingAdminOnly:\s*(\d+)", driver_parameters, re.MULTILINE)
    return found is not None and found.group(1) != "0"


def _holds_sys_admin(status: str) -> bool:
    found = re.search(r"^CapEff:\s*([0-9a-fA-F]+)", status, re.MULTILINE)
    return found is not None and bool(int(found.group(1), 16) >> _CAP_SYS_ADMIN & 1)


def _counters(ncu: Tool, *, permitted: bool) -> Tool:
    if ncu.found and permitted:
        return Tool(name=COUNTERS, found=True)
    reason = f"The driver gives counters to administrators only ({PERMISSION_WORD})."
    return Tool(
        name=COUNTERS,
        found=False,
        reason=reason if ncu.found else ncu.reason,
        costs="profiles have durations and launch figures only",
        remedy=PERMISSION_REMEDY if ncu.found else ncu.remedy,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _find(where: Places, name: str) -> str | None:
    found = where.which(name)
    if found:
        return found
    for folder in map(Path, where.installs):
        nested = sorted(folder.glob(f"nsight-compute*/*/{name}"), reverse=True)
        for path in (folder / name, *sorted(folder.glob(f"*/{name}"), reverse=True), *nested):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None


def _program(where: Places, name: str, costs: str, remedy: str) -> Tool:
    path = _find(where, name)
    if path is None:
        reason = f"{name} was not found."
        return Tool(name=name, found=False, reason=reason, costs=costs, remedy=remedy)
    said = (where.run or _output)([path, "--version"])
    version = re.search(r"(?:release|[Vv]ersion)\s+(\d[\w.\-]*)", said)
    if version is None:
        reason = f"{path} does not say its version, so it may not run."
        return Tool(name=name, found=False, path=path, reason=reason, costs=costs, remedy=remedy)
    return Tool(name=name, found=True, path=path, version=version.group(1))


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_VERSION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _package(name: str, module: str, costs: str, remedy: str) -> Tool:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        reason = f"{name} is not installed."
        return Tool(name=name, found=False, reason=reason, costs=costs, remedy=remedy)
    found = importlib.util.find_spec(module) is not None
    return Tool(name=name, found=found, version=version, costs=None if found else costs)


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that results depend on."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def environment_report(
    settings: Settings, isolation: Isolation | None, dataset_problems: list[str]
) -> EnvironmentReport:
    """The report of `check_environment`.

    Args:
        isolation: what a judge's probe was granted; None while no judge has started.
    """
    device = devices_text(chosen_devices(settings))
    on_cpu = device == "cpu"
    notes = []
    if settings.cluster:
        notes.append(
            f"Candidates are judged on the cluster {settings.cluster}, not on this machine's "
            "devices; `kernel-harness cluster status` says on which."
        )
    if len(pools := device_pools(settings)) > 1:
        notes.append(
            f"GPUs of several models: {pools_text(pools)}. Trials run on the first; with "
            "device=… on another. Times of two models are not compared."
        )
    if on_cpu:
        notes.append(
            "No usable NVIDIA GPU: Triton candidates run in Triton's interpreter, Python ones on "
            "the CPU; correctness is judged as on a GPU, latencies are null, and every candidate "
            f"is compiled for {' and '.join(settings.static_targets)}."
        )
        if nvidia_devices() and not torch_has_cuda():
            notes.append("A GPU is present, but torch is a CPU build: reinstall torch for CUDA.")
    note = (
        "Measured by the running judge."
        if isolation
        else "Known once a judge has started, with the first evaluation; every result repeats it."
    )
    return EnvironmentReport(
        devices=list(nvidia_devices()) or [_processor()],
        executor=Executor.INTERPRETER if on_cpu else Executor.CUDA,
        device=device,
        toolchain=find_tools().listed,
        isolation=isolation,
        isolation_note=note,
        libraries=installed_versions(),
        python=platform.python_version(),
        archive_path=str(settings.archive_dir / "repository.git"),
        workspaces_path=str(settings.workspaces_dir),
        dataset_paths=[str(settings.kernels_dir), *(str(p) for p in settings.dataset)],
        dataset_problems=dataset_problems,
        notes=notes,
    )


def _processor() -> DeviceInfo:
    return DeviceInfo(
        name=platform.processor() or platform.machine(), executor=Executor.INTERPRETER
    )
