"""The noise floor of a device by decade of latency, and the least effect that follows from it.

Calibrated by comparing one kernel with itself through the whole pipeline (`noise_calibration`);
kept as a file beside the archive, never in it, for it belongs to a machine. Without one,
`UNKNOWN_NOISE_FLOOR` is used.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InfrastructureError
from ..settings import Settings

LEAST_EFFECT = 0.01
"""No |ln ratio| below it is called a difference, however quiet the device."""
LEAST_EFFECT_ACROSS_EVALUATIONS = 0.02
"""The same where the two latencies are of different evaluations: clocks and heat differ, too."""
UNKNOWN_NOISE_FLOOR = {0: 0.012, 1: 0.005, 2: 0.004, 3: 0.004}
"""Noise floor of |ln ratio| by decade of microseconds, used until the device is calibrated.

Deliberately wider than A/A runs show, so that an uncalibrated device errs to INCONCLUSIVE.
"""


def noise_floor_file(settings: Settings, device_name: str) -> Path:
    """Path of a device's noise floor."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", device_name).strip("-")
    return settings.archive_dir / "calibration" / f"noise-{name}.json"


def load_noise_floor(settings: Settings, device_name: str) -> dict[str, float]:
    """The calibrated floors of |ln ratio| by decade of µs ('0' is 1-10 µs); empty when unknown.

    Raises:
        InfrastructureError: when the file is there and cannot be read.
    """
    path = noise_floor_file(settings, device_name)
    if not path.is_file():
        return {}
    try:
        return {str(k): float(v) for k, v in json.loads(path.read_text())["floors"].items()}
    except (OSError, ValueError, KeyError) as error:
        raise InfrastructureError(
            "The noise floor cannot be read", where=str(path), remedy="Delete it and recalibrate."
        ) from error


def write_noise_floor(
    settings: Settings, device_name: str, floors: dict[str, float], provenance: dict[str, Any]
) -> Path:
    """Writes a device's noise floor with its provenance, and returns the file."""
    path = noise_floor_file(settings, device_name)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "device": device_name,
        "floors": floors,
        "provenance": provenance,
        "calibrated_at": datetime.now(UTC).isoformat(),
    }
    path.write_text(json.dumps(record, indent=1))
    return path


def least_effect(duration_us: float | None, recorded: Mapping[str, Any] | None) -> float:
    """The |ln ratio| that two latencies must differ by to be called different.

    Three times the noise floor of the latency's decade of microseconds, never below one percent.
    A decade without a usable figure has that of `UNKNOWN_NOISE_FLOOR`.

    Args:
        duration_us: the shorter of the two latencies, in microseconds; one when unknown.
        recorded: decade of microseconds as text ('0' is 1-10 µs) to the measured floor, as
            calibrated or as a record has it.
    """
    decade = max(0, min(3, math.floor(math.log10(max(duration_us or 1.0, 1.0)))))
    known = (recorded or {}).get(str(decade))
    if not (isinstance(known, int | float) and 0 < known < 1):
        known = UNKNOWN_NOISE_FLOOR[decade]
    return max(LEAST_EFFECT, 3 * known)
