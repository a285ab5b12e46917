"""The A/A noise floor of a device, by decade of duration, with its provenance.

Calibrated by comparing one kernel with itself through the whole pipeline (`noise_calibration`);
kept as a file beside the archive, never in it, for it belongs to a machine. Without one,
`UNKNOWN_NOISE_FLOOR` stands in.
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


def noise_floor_file(settings: Settings, device_name: str) -> Path:
    """Where a device's noise floor is kept."""
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
    """Keeps a device's noise floor with how it was found."""
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


UNKNOWN_NOISE_FLOOR = {0: 0.012, 1: 0.005, 2: 0.004, 3: 0.004}
"""Noise floor of |ln ratio| by decade of microseconds, used until the device is calibrated.

Deliberately wider than A/A runs show, so that an uncalibrated device errs to INCONCLUSIVE.
"""


def noise_floor(duration_us: float, calibrated: Mapping[str, float]) -> float:
    """The A/A noise floor of |ln ratio| for a latency of `duration_us`.

    Args:
        duration_us: the shorter of the two latencies, in microseconds.
        calibrated: decade of microseconds as text ('0' is 1-10 µs) to the measured floor.
    """
    decade = max(0, min(3, math.floor(math.log10(max(duration_us, 1.0)))))
    known = calibrated.get(str(decade))
    return known if known is not None else UNKNOWN_NOISE_FLOOR[decade]
