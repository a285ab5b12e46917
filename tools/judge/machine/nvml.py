"""NVML's words of a device; None where its library or the driver is missing.

Torch is imported where it is asked: what starts processes imports this, before torch is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def open_nvml() -> Any:
    """NVML's Python binding, initialised; None where the library or the driver is missing."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        return None
    return pynvml


def driver_version() -> str | None:
    """The NVIDIA driver's version; None without a driver."""
    nvml = open_nvml()
    if nvml is None:
        return None
    version = nvml.nvmlSystemGetDriverVersion()
    return version if isinstance(version, str) else version.decode()


def memory_clock(device: torch.device) -> int | None:
    """The device's highest memory clock in MHz, which distinguishes boards of one chip."""
    nvml = open_nvml() if device.type == "cuda" else None
    if nvml is None:
        return None
    try:
        handle = nvml_handle(nvml, device)
        return int(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM))
    except nvml.NVMLError:
        return None


def nvml_handle(nvml: Any, device: torch.device) -> Any:
    """NVML's handle of a CUDA device, found by UUID: NVML and CUDA number devices differently."""
    import torch

    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    if uuid:
        name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        try:
            return nvml.nvmlDeviceGetHandleByUUID(name)
        except nvml.NVMLError:
            pass
    return nvml.nvmlDeviceGetHandleByIndex(device.index or 0)
