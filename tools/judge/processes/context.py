"""What one judge has at hand for every trial: its device, its zygotes, draws made ahead.

A zygote is a warm process that has imported torch. Without a GPU there are two: one whose Triton
is the interpreter, for running, and one whose Triton compiles, started only when something is to be
compiled for targets that are not here.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ...errors import CapabilityError
from ...schema.evaluation import DeviceInfo, Executor, Isolation
from ..operators.input_draws import AHEAD_BYTES, Ahead
from .candidate_process import ProcessSession, SpawnOptions, Zygote, ZygoteGoneError
from .prewarmed import Waiting, how_many

PACKAGES = (
    "kernel-harness",
    "torch",
    "triton",
    "numpy",
    "cuda-bindings",
    "cupti-python",
    "apache-tvm-ffi",
    "flashinfer-python",
    "nvidia-ml-py",
)
HOST_MEMORY_SHARE = 0.6
HOST = torch.device("cpu")


@dataclass
class Room:
    """Everything that outlives a trial.

    Args:
        device: where candidates run.
        cache_dir: finished builds, by content.
        running: forks the candidates that are run.
        info: what the device is.
        versions: of all that a result depends on.
        arch: what to build for, e.g. '90a'; None without a GPU.
        memory_mhz: the device's highest memory clock, where NVML says it.
        compiling: forks the candidates that are only compiled; made when first needed.
    """

    device: torch.device
    cache_dir: Path
    running: Zygote
    info: DeviceInfo
    versions: dict[str, str]
    arch: str | None = None
    memory_mhz: int | None = None
    compiling: Zygote | None = None
    ahead: Ahead = field(default_factory=lambda: Ahead(AHEAD_BYTES))
    ending: list[threading.Thread] = field(default_factory=list)
    waiting: Waiting = field(init=False)

    def __post_init__(self) -> None:
        most = 0 if self.interpreted else how_many(self.info.memory_bytes or 0)
        self.waiting = Waiting(most, self._spawned)

    @property
    def interpreted(self) -> bool:
        """Whether there is no GPU to run on."""
        return self.device.type == "cpu"

    def spawn(self) -> ProcessSession:
        """A candidate process that runs candidates; to be called in the main thread."""
        return self.waiting.take() or self._spawned()

    def _spawned(self) -> ProcessSession:
        try:
            session = self.running.spawn()
        except ZygoteGoneError:
            self.waiting.close()
            self.running = self.running.another()
            session = self.running.spawn()
        if not self.interpreted:
            session.prepare(self.device.index or 0)
        return session

    def probe(self) -> Isolation:
        """What keeps candidates apart here, as one process of theirs has it."""
        session = self.waiting.first
        if session is None:
            session = self._spawned()
            session.close()
        return isolation(list(session.granted), list(session.missing))

    def start_compiler(self) -> None:
        """Makes sure that there is a zygote for compiling.

        To be called in the main thread: a zygote dies with the thread that started it.
        """
        if self.interpreted and (self.compiling is None or not self.compiling.alive):
            self.compiling = Zygote(spawn_options(self.device, self.cache_dir), interpret=False)

    def spawn_compiler(self) -> ProcessSession:
        """A candidate process that compiles for targets and never runs a kernel."""
        return (self.compiling or self.running).spawn()

    def end_later(self, end: Callable[[], None]) -> None:
        """Ends processes beside the report's way to the server; `settle` waits for it."""
        thread = threading.Thread(target=end, name="ending")
        thread.start()
        self.ending.append(thread)

    def settle(self) -> None:
        """Waits until every process of earlier trials has gone and its memory is free."""
        while self.ending:
            self.ending.pop().join()

    def close(self) -> None:
        """Ends the zygotes and all that they started."""
        self.settle()
        self.waiting.close()
        self.running.close()
        if self.compiling is not None:
            self.compiling.close()


def spawn_options(device: torch.device, cache_dir: Path) -> SpawnOptions:
    """What candidates get on this device."""
    memory = None
    if device.type == "cpu":
        pages, page_size = _host_memory()
        memory = int(pages * page_size * HOST_MEMORY_SHARE)
    return SpawnOptions(cache_dir=cache_dir, cuda=device.type == "cuda", memory_bytes=memory)


def _host_memory() -> tuple[int, int]:
    return os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")


def device_info(device: torch.device) -> DeviceInfo:
    """What is known of the device.

    Raises:
        CapabilityError: when torch cannot use it.
    """
    if device.type == "cpu":
        return DeviceInfo(
            name=platform.processor() or platform.machine() or "cpu",
            executor=Executor.INTERPRETER,
            memory_bytes=_host_memory()[0] * _host_memory()[1],
        )
    if not torch.cuda.is_available():
        raise CapabilityError(
            f"torch cannot use {device}", remedy="Set the device to 'cpu', or mend the driver."
        )
    facts = torch.cuda.get_device_properties(device)
    return DeviceInfo(
        name=facts.name,
        executor=Executor.CUDA,
        compute_capability=f"{facts.major}.{facts.minor}",
        sm_count=facts.multi_processor_count,
        memory_bytes=facts.total_memory,
        l2_bytes=getattr(facts, "L2_cache_size", None),
        driver=_driver(),
        uuid=str(getattr(facts, "uuid", "")) or None,
    )


def open_nvml() -> Any:
    """The NVML binding, initialised; None where the library or its driver is missing."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        return None
    return pynvml


def _driver() -> str | None:
    nvml = open_nvml()
    if nvml is None:
        return None
    version = nvml.nvmlSystemGetDriverVersion()
    return version if isinstance(version, str) else version.decode()


def memory_clock(device: torch.device) -> int | None:
    """The device's highest memory clock in MHz, which tells boards of one chip apart."""
    nvml = open_nvml() if device.type == "cuda" else None
    if nvml is None:
        return None
    try:
        handle = nvml_handle(nvml, device)
        return int(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM))
    except nvml.NVMLError:
        return None


def nvml_handle(nvml: Any, device: torch.device) -> Any:
    """NVML's handle of a CUDA device: by uuid, since the two number devices differently."""
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    if uuid:
        name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        try:
            return nvml.nvmlDeviceGetHandleByUUID(name)
        except nvml.NVMLError:
            pass
    return nvml.nvmlDeviceGetHandleByIndex(device.index or 0)


def versions(device: torch.device) -> dict[str, str]:
    """Versions of all that a result depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["torch"] = torch.__version__
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    if device.type == "cuda" and (driver := _driver()):
        found["driver"] = driver
    return found


def isolation(granted: list[str], missing: list[str]) -> Isolation:
    """What keeps candidates apart from the verdict here."""
    level = "weaker" if missing else "strong"
    return Isolation(level=level, granted=granted, missing=missing)


def cuda_arch(device: torch.device) -> str | None:
    """The architecture to build for, e.g. '90a'; None without a GPU."""
    if device.type == "cpu":
        return None
    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}{minor}{'a' if major >= 9 else ''}"
