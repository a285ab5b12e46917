"""The measurements of one device so far, and how each was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ...devices.measurements import DeviceFigure, Microbenchmark


@dataclass
class Findings:
    """The measurements so far.

    Attributes:
        figures: all that was measured, for people and agents.
        rates, flops: those of them that floors are computed from.
        skipped: what has no figure, and why, by microbenchmark.
    """

    figures: dict[Microbenchmark, list[DeviceFigure]] = field(default_factory=dict)
    seconds: dict[Microbenchmark, float] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    flops: dict[str, dict[str, Any]] = field(default_factory=dict)
    rates: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[Microbenchmark, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(
        self, what: Microbenchmark, name: str, value: float, unit: str, **at: int | str
    ) -> None:
        """Adds a figure that was measured under the conditions `at`."""
        figure = DeviceFigure(name=name, at=at, value=float(f"{value:.4g}"), unit=unit)
        self.figures.setdefault(what, []).append(figure)

    def skip(self, what: Microbenchmark, name: str, why: object) -> None:
        """Notes what has no figure."""
        self.skipped.setdefault(what, {})[name] = " ".join(str(why).split())[:200]


def rate(value: float, how: str) -> dict[str, Any]:
    """A figure, and how and when it was measured."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"value": value, "source": f"measured {day}: {how}; CUPTI median"}
