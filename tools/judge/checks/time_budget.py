"""The time budget of a trial, estimates of cases, and times of stages."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

HOST_RATE = 3e8
RATES = {"triton": 1e7}
"""Bytes and FLOPs per second assumed without a GPU, until two different cases were timed."""


class Estimate:
    """Estimates the seconds of a case from its work and the cases before it.

    Args:
        rate: work per second that is reached at least. It bounds the slope concluded from a single
            small case, whose time is mostly overhead.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._points: list[tuple[float, float]] = []

    def add(self, work: float, seconds: float) -> None:
        """Adds the time of one call, the judge's own work included."""
        self._points.append((max(work, 1.0), seconds))

    def seconds(self, work: float) -> float:
        """Extrapolates linearly from the least and the greatest work so far."""
        if not self._points:
            return 0.0
        low, high = min(self._points), max(self._points)
        slope = min(high[1] / high[0], 1 / self._rate)
        if high[0] > low[0]:
            slope = max(0.0, (high[1] - low[1]) / (high[0] - low[0]))
        return max(high[1] + slope * (work - high[0]), 0.0)


@dataclass(frozen=True)
class TimeBudget:
    """The time budget of a trial.

    Args:
        deadline: on the monotonic clock; cases that would end after it are not run.
        call_timeout_s: a longer call ends the candidate.
        interpreted: whether candidates run without a GPU.
        rate: bytes and FLOPs per second that are assumed at first.
    """

    deadline: float
    call_timeout_s: float
    interpreted: bool
    rate: float

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


class StageTimes:
    """Wall time by stage, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Adds the duration of the context to a stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + spent, 4)
