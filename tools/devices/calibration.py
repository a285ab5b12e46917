"""Reads measured rates of a device, which replace nominal ones of the same device."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..settings import Settings
from .hardware import Calibration, Hardware, identify


def calibration_folder(settings: Settings) -> Path:
    """Folder of the calibrations, one file for each device."""
    return settings.archive_dir / "calibration"


def calibration_file(settings: Settings, device_name: str) -> Path:
    """Path of the calibration of a device, by the name that its driver says."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", device_name).strip("-").lower()
    return calibration_folder(settings) / f"{name}.json"


def with_calibration(hardware: Hardware, folder: Path) -> Hardware:
    """The device with figures measured here in place of shipped ones, where there are any.

    A file of another device, or one that cannot be read, changes nothing.
    """
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        document = read_calibration(path)
        if document is None:
            continue
        facts = document["device"]
        table = {hardware.name: hardware}
        if identify(facts["name"], facts.get("sm_count"), facts.get("memory_mhz"), table) is None:
            continue
        measured = Calibration.model_validate(document["calibration"])
        taken = {n: v for n, v in measured if v is not None and n != "flops"}
        taken["flops"] = {**hardware.calibrated.flops, **measured.flops}
        return hardware.model_copy(
            update={"calibrated": hardware.calibrated.model_copy(update=taken)}
        )
    return hardware


def read_calibration(path: Path) -> dict[str, Any] | None:
    """A calibration file as it was written; None where it cannot be read as one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        Calibration.model_validate(document["calibration"])
        str(document["device"]["name"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
    return document
