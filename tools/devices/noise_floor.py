"""The A/A noise floor of a device, by decade of duration, with its provenance.

Calibrated by comparing one kernel with itself through the whole pipeline (`noise_calibration`);
kept as a file beside the archive, never in it, for it belongs to a machine. Without one,
`comparison.UNKNOWN_NOISE_FLOOR` stands in.
"""

from __future__ import annotations

import json
import re
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
