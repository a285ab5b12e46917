"""What microbenchmarks showed of a device: figures by what was measured, kept in its calibration.

A figure holds for the device, the driver and the version of the harness that it was measured with.
Those of another are shown with that said, and measured anew where the device is here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Microbenchmark(StrEnum):
    """What can be measured; each takes a few seconds."""

    COPY = "copy"
    LAUNCH = "launch"
    LATENCY = "latency"
    BARRIER = "barrier"
    TENSOR = "tensor"


class DeviceFigure(BaseModel):
    """One figure, and the conditions that it was measured under."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    at: dict[str, int | str] = Field(default_factory=dict)
    value: float
    unit: str


class MeasuredPart(BaseModel):
    """The figures of one microbenchmark, the time they were made at and what was left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured_at: str
    seconds: float
    figures: list[DeviceFigure]
    skipped: dict[str, str] = Field(default_factory=dict)


def parts_of(document: Mapping[str, Any]) -> dict[Microbenchmark, MeasuredPart]:
    """The microbenchmarks of a calibration file; none where it holds none that can be read."""
    found: dict[Microbenchmark, MeasuredPart] = {}
    parts = document.get("measured")
    for name, part in parts.items() if isinstance(parts, Mapping) else ():
        try:
            found[Microbenchmark(name)] = MeasuredPart.model_validate(part)
        except (ValueError, ValidationError):
            continue
    return found


def shipped_figures() -> Path:
    """The file of figures that comes with the operators, by device of the table."""
    return Path(str(files("kernel_harness.kernels"))) / "device_figures.json"


def shipped_document(device: str) -> dict[str, Any]:
    """What that file has of a device, as a calibration has it; empty for others."""
    devices = json.loads(shipped_figures().read_text(encoding="utf-8"))["devices"]
    return dict(devices.get(device, {}))


def made_with(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """The device, the driver and the version of the harness that a calibration was made with."""
    device = document.get("device")
    facts: Mapping[str, Any] = device if isinstance(device, Mapping) else {}
    driver, harness = facts.get("driver"), document.get("harness")
    return str(facts.get("name")), str(driver or "unknown"), str(harness or "unknown")


def merged(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """A new calibration with what an earlier one of the same device, driver and harness adds."""
    if before is None or made_with(before) != made_with(now):
        return dict(now)
    found = dict(now)
    for name in ("calibration", "samples"):
        found[name] = {**_mapping(before, name), **_mapping(now, name)}
    found["calibration"]["flops"] = {**_flops(before), **_flops(now)}
    parts = parts_of(before) | parts_of(now)
    found["measured"] = {name.value: part.model_dump(mode="json") for name, part in parts.items()}
    return found


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


def _flops(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(document, "calibration"), "flops")
