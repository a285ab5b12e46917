"""The measurements of one device so far, and how each was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class Findings:
    """The measurements so far."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    bandwidth: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    flops: dict[str, dict[str, Any]] = field(default_factory=dict)
    rates: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def rate(value: float, how: str) -> dict[str, Any]:
    """A figure, and how and when it was measured."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"value": value, "source": f"measured {day}: {how}; CUPTI median"}
