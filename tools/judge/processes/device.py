"""Facts about the device and machine of this judge, for the record."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import torch

from ...errors import CapabilityError
from ...schema.evaluation import DeviceInfo, Executor, Isolation

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


HOST = torch.device("cpu")


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
