"""Facts about this judge's device and machine, for the record.

Torch is imported where it is asked: what starts processes imports this, before torch is there.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...devices.hardware import target_facts
from ...errors import CapabilityError
from ...messages.candidate import DeviceFacts
from ...schema.evaluation import DeviceInfo, Executor, Isolation
from ..machine.nvml import driver_version

if TYPE_CHECKING:
    import torch

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
FAKE_TARGET = "sm_90"
"""The device that candidates find where there is no GPU."""


def device_facts(target: str) -> DeviceFacts:
    """What a program can ask of a device of an architecture, e.g. 'sm_90'.

    One that the table of devices lacks grants what `FAKE_TARGET` does.
    """
    known = target_facts(target) or target_facts(FAKE_TARGET)
    assert known is not None, f"the table of devices lacks {FAKE_TARGET}"
    facts: dict[str, Any] = asdict(known)
    facts["capability"] = int(re.sub(r"\D", "", target))
    return DeviceFacts(**facts)


def host_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def device_info(device: torch.device) -> DeviceInfo:
    """The device's name, size and driver.

    Raises:
        CapabilityError: when torch cannot use it.
    """
    if device.type == "cpu":
        return DeviceInfo(
            name=platform.processor() or platform.machine() or "cpu",
            executor=Executor.INTERPRETER,
            memory_bytes=host_memory(),
        )
    import torch

    if not torch.cuda.is_available():
        raise CapabilityError(
            f"torch cannot use {device}", remedy="Set the device to 'cpu', or repair the driver."
        )
    facts = torch.cuda.get_device_properties(device)
    return DeviceInfo(
        name=facts.name,
        executor=Executor.CUDA,
        compute_capability=f"{facts.major}.{facts.minor}",
        sm_count=facts.multi_processor_count,
        memory_bytes=facts.total_memory,
        l2_bytes=getattr(facts, "L2_cache_size", None),
        driver=driver_version(),
        uuid=str(getattr(facts, "uuid", "")) or None,
    )


def versions_of(dependencies: Iterable[str]) -> dict[str, str]:
    """Installed versions of packages that requirements name, of the first 16."""
    names = (re.match(r"[\w.-]+", dependency) for dependency in islice(dependencies, 16))
    found: dict[str, str] = {}
    for name in (match.group() for match in names if match):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def versions(device: torch.device) -> dict[str, str]:
    """Versions of everything that a result depends on."""
    import torch

    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["torch"] = torch.__version__
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    if device.type == "cuda" and (driver := driver_version()):
        found["driver"] = driver
    return found


def isolation(granted: list[str], missing: list[str]) -> Isolation:
    """The isolation of candidates: strong when no part of the sandbox is missing."""
    level = "weaker" if missing else "strong"
    return Isolation(level=level, granted=granted, missing=missing)


def cuda_arch(device: torch.device) -> str | None:
    """The architecture to build for, e.g. '90a'; None without a GPU."""
    if device.type == "cpu":
        return None
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}{minor}{'a' if major >= 9 else ''}"
