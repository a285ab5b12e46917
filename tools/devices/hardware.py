"""Devices and architectures, from hardware.json: rates of a board, limits of a multiprocessor."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DatasetError


class Rate(BaseModel):
    """One figure of a device and its source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(gt=0)
    source: str = Field(min_length=1)


class Calibration(BaseModel):
    """Figures that were measured, fitted or estimated; never mixed with the data sheet's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_bytes_per_s: Rate | None = None
    flops: dict[str, Rate] = Field(default_factory=dict)
    launch_us: Rate | None = Field(
        default=None, description="Shortest span of a kernel that does anything."
    )
    dependent_kernel_us: Rate | None = Field(default=None, description="Each further launch.")
    memory_latency_us: Rate | None = Field(default=None, description="One dependent load.")


class Identity(BaseModel):
    """Properties that identify a device; all must match, never a part of a name alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: list[str] = Field(min_length=1, description="As NVML says, without 'NVIDIA '.")
    sm_count: int = Field(gt=0)
    memory_mhz: tuple[int, int] = Field(description="Lowest and highest maximum memory clock.")


class Hardware(BaseModel):
    """One device: nominal, dense rates, and calibrated ones beside them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    compute_capability: str
    arch: str = Field(description="As compilers call it, e.g. 'sm_90a'.")
    identity: Identity
    sm_count: int
    l2_bytes: Rate
    memory_bytes_per_s: Rate
    flops: dict[str, Rate] = Field(description="Dense operations per second by precision.")
    calibrated: Calibration = Field(default_factory=Calibration)


class Architecture(BaseModel):
    """Limits of one multiprocessor of an architecture; sizes in bytes, registers of 32 bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Without its feature suffix: 'sm_90', never 'sm_90a'.")
    source: str
    threads_per_warp: int
    threads_per_block: int
    warps_per_sm: int
    blocks_per_sm: int
    registers_per_sm: int
    registers_per_thread: int
    shared_bytes_per_sm: int
    shared_bytes_per_block: int = Field(description="Opted in to, static and dynamic together.")
    shared_bytes_reserved_per_block: int
    shared_unit: int = Field(description="Bytes in which shared memory is granted to a block.")
    register_unit: int = Field(description="Registers in which they are granted to a warp.")
    warp_unit: int = Field(description="Warps whose registers are granted together.")


@dataclass(frozen=True)
class TargetFacts:
    """Properties that a program can query, of a device that is compiled for and is not here."""

    name: str
    """As the driver says it, e.g. 'NVIDIA H200'."""
    capability: int
    """Compute capability times ten."""
    sm_count: int
    warp_size: int
    threads_per_sm: int
    registers_per_sm: int
    shared_bytes_per_sm: int
    shared_bytes_per_block: int
    l2_bytes: int
    memory_clock_khz: int


def load_hardware(path: Path) -> dict[str, Hardware]:
    """Reads the table of devices, by their short names.

    Raises:
        DatasetError: when it is malformed, naming the device and field.
    """
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["devices"]
        return {name: Hardware(name=name, **entry) for name, entry in table.items()}
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"No table of devices: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{where}: {first['msg']}", where=str(path)) from error


@lru_cache(maxsize=1)
def shipped_hardware() -> dict[str, Hardware]:
    """The devices of the table that comes with the operators."""
    return load_hardware(_shipped_table())


@lru_cache(maxsize=1)
def architectures() -> dict[str, Architecture]:
    """The architectures of the table that comes with the operators, by name ('sm_90')."""
    table = json.loads(_shipped_table().read_text(encoding="utf-8"))["architectures"]
    return {name: Architecture(name=name, **entry) for name, entry in table.items()}


def _shipped_table() -> Path:
    return Path(str(files("kernel_harness.kernels"))) / "hardware.json"


def architecture_of(target: str) -> Architecture | None:
    """The architecture that 'sm_90', 'sm_90a', 'sm_100f', '90a' or '9.0' names; None if unknown."""
    match = re.fullmatch(r"(?:sm_)?(\d+)(?:\.(\d+))?[af]?", target.strip())
    if match is None:
        return None
    return architectures().get(f"sm_{match.group(1)}{match.group(2) or ''}")


def target_facts(target: str) -> TargetFacts | None:
    """Facts of a device of one architecture; None for an architecture that is not in the table.

    Name, multiprocessors, L2 and memory clock are those of the first device of this architecture in
    the table; else of this major version; else of Hopper's.

    Args:
        target: an architecture, as `architecture_of` takes it.
    """
    architecture = architecture_of(target)
    if architecture is None:
        return None
    capability = int(architecture.name.removeprefix("sm_"))
    by_capability: dict[int, Hardware] = {}
    for entry in shipped_hardware().values():
        own = int(entry.compute_capability.replace(".", ""))
        by_capability.setdefault(own, entry)
        by_capability.setdefault(own // 10, entry)
    near = (capability, capability // 10, 90)
    device = next(by_capability[key] for key in near if key in by_capability)
    low, high = device.identity.memory_mhz
    return TargetFacts(
        name=f"NVIDIA {device.identity.names[0]}",
        capability=capability,
        sm_count=device.sm_count,
        warp_size=architecture.threads_per_warp,
        threads_per_sm=architecture.threads_per_warp * architecture.warps_per_sm,
        registers_per_sm=architecture.registers_per_sm,
        shared_bytes_per_sm=architecture.shared_bytes_per_sm,
        shared_bytes_per_block=architecture.shared_bytes_per_block,
        l2_bytes=round(device.l2_bytes.value),
        memory_clock_khz=(low + high) * 500,
    )


def identify(
    name: str,
    sm_count: int | None,
    memory_mhz: int | None,
    table: Mapping[str, Hardware] | None = None,
) -> Hardware | None:
    """Finds the device's entry, or None: an unknown device has no floors rather than wrong ones.

    Boards of one chip differ up to twofold in bandwidth and rates and share most of their names, so
    name, multiprocessor count and memory clock must all fit.

    Args:
        name: as NVML reports it; a leading 'NVIDIA' does not matter.
        sm_count: multiprocessors visible; a MIG slice therefore is not recognised.
        memory_mhz: highest memory clock that NVML reports; None where it says nothing, and then
            the full name and the count must do.
        table: devices to choose from; the shipped ones when None.
    """
    devices = shipped_hardware() if table is None else table
    model = name.strip().removeprefix("NVIDIA ").strip()
    for device in devices.values():
        identity = device.identity
        low, high = identity.memory_mhz
        clock_fits = memory_mhz is None or low <= memory_mhz <= high
        if model in identity.names and sm_count == identity.sm_count and clock_fits:
            return device
    return None
