"""What this machine has, what each missing thing costs, and how to mend it.

Light: no torch, no process is started but small version queries. It cannot know whether a GPU works
before a judge has used it; it says what the driver and the file system show.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from ..schema.evaluation import DeviceInfo, Executor, Isolation, RecordModel
from ..settings import Settings

OF_A_GPU = frozenset({"ncu", "compute-sanitizer", "cupti-python"})
"""Tools that do nothing without a GPU; where there is none, nobody misses them."""

LIBRARIES = ("torch", "triton", "mcp", "numpy", "scipy", "cupti-python", "cuda-bindings")


class Tool(RecordModel):
    """One tool of the toolchain, found or not."""

    name: str
    found: bool
    path: str | None = None
    version: str | None = None
    costs: str | None = None
    remedy: str | None = None


class EnvironmentReport(RecordModel):
    """What `check_environment` tells."""

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

    def missing(self) -> list[Tool]:
        """Tools that this machine could use and does not have."""
        useless = OF_A_GPU if self.executor is Executor.INTERPRETER else frozenset[str]()
        return [tool for tool in self.toolchain if not tool.found and tool.name not in useless]

    def wanted_with_a_gpu(self) -> list[str]:
        """Tools that will be missed once there is a GPU; none where there is one."""
        useless = self.executor is Executor.INTERPRETER
        return [t.name for t in self.toolchain if not t.found and t.name in OF_A_GPU and useless]


@lru_cache(maxsize=1)
def nvidia_devices() -> tuple[DeviceInfo, ...]:
    """The GPUs that the driver shows through NVML; empty without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no library, no driver or no permission all mean: no device for us
        return ()
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
            found.append(
                DeviceInfo(
                    name=str(pynvml.nvmlDeviceGetName(handle)),
                    executor=Executor.CUDA,
                    compute_capability=f"{major}.{minor}",
                    memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                    driver=driver,
                    uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
                )
            )
        return tuple(found)
    finally:
        pynvml.nvmlShutdown()


@lru_cache(maxsize=1)
def torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA, read from its files without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return False
    version = Path(spec.submodule_search_locations[0]) / "version.py"
    text = version.read_text(encoding="utf-8") if version.is_file() else ""
    found = re.search(r"^cuda\b.*=\s*(.+)$", text, re.MULTILINE)
    return bool(found and "None" not in found.group(1))


def chosen_device(settings: Settings) -> str:
    """The device that trials run on: as set, else the first GPU that can be used, else 'cpu'."""
    if settings.device != "auto":
        return settings.device
    return "cuda:0" if nvidia_devices() and torch_has_cuda() else "cpu"


def toolchain() -> list[Tool]:
    """The compilers and profilers, and what the missing ones cost."""
    return [
        _program(
            "nvcc",
            "CUDA C++ candidates cannot be built or checked for sm_90a and sm_100a",
            "Install the CUDA toolkit (13 or later) and put nvcc on PATH.",
        ),
        _program(
            "ncu",
            "profile_ncu has no hardware counters; it falls back to the torch profiler",
            "Install Nsight Compute; counters need the driver's permission (ERR_NVGPUCTRPERM).",
        ),
        _program(
            "compute-sanitizer",
            "races and out-of-bounds reads are found only when they change a result",
            "It is part of the CUDA toolkit; put it on PATH.",
        ),
        _package(
            "cupti-python",
            "cupti",
            "latencies come from CUDA events, about 2.4 µs too long",
            "pip install cupti-python cuda-bindings",
        ),
        _package(
            "triton",
            "triton",
            "Triton candidates cannot run",
            "pip install triton (Linux).",
        ),
        _package(
            "apache-tvm-ffi",
            "tvm_ffi",
            "CUDA C++ candidates with the tvm-ffi binding cannot be built",
            "pip install apache-tvm-ffi",
        ),
    ]


def _program(name: str, costs: str, remedy: str) -> Tool:
    path = shutil.which(name) or next(
        (str(p) for p in Path("/usr/local/cuda/bin").glob(name)), None
    )
    if path is None:
        return Tool(name=name, found=False, costs=costs, remedy=remedy)
    return Tool(name=name, found=True, path=path, version=_version(path))


def _version(path: str) -> str | None:
    try:
        words = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(?:release|[Vv]ersion)\s+([0-9][0-9.]*)", words)
    return found.group(1) if found else None


def _package(name: str, module: str, costs: str, remedy: str) -> Tool:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Tool(name=name, found=False, costs=costs, remedy=remedy)
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
    """Puts together what `check_environment` answers.

    Args:
        settings: where things are.
        isolation: what a judge's probe was granted; None while no judge has started.
        dataset_problems: files that could not be read, in words.
    """
    device = chosen_device(settings)
    on_cpu = device == "cpu"
    notes = []
    if on_cpu:
        notes.append(
            "No usable NVIDIA GPU: Triton candidates run in Triton's interpreter, Python ones on "
            "the CPU; correctness is judged as on a GPU, latencies are null, and every candidate "
            "is compiled for sm_90 and sm_100."
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
        toolchain=toolchain(),
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
