"""How much time there is for a trial, and how much of it a case will take."""

from __future__ import annotations

import time
from dataclasses import dataclass


class Estimate:
    """Seconds that a case of some work will take, from the cases before it.

    Args:
        rate: work per second that anything here reaches at least; bounds what is concluded from a
            single small case, whose time is mostly not its work.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._points: list[tuple[float, float]] = []

    def add(self, work: float, seconds: float) -> None:
        """Notes one call with all that the judge did for it."""
        self._points.append((max(work, 1.0), seconds))

    def seconds(self, work: float) -> float:
        """A line through the least and the greatest work seen, else from one point on."""
        if not self._points:
            return 0.0
        low, high = min(self._points), max(self._points)
        slope = min(high[1] / high[0], 1 / self._rate)
        if high[0] > low[0]:
            slope = max(0.0, (high[1] - low[1]) / (high[0] - low[0]))
        return max(high[1] + slope * (work - high[0]), 0.0)


@dataclass(frozen=True)
class TimeBudget:
    """How much time there is.

    Args:
        deadline: on the monotonic clock; cases that would end after it are not run.
        call_timeout_s: a call that takes longer ends the candidate.
        interpreted: whether there is no GPU.
        rate: bytes and FLOPs per second that can be counted on.
    """

    deadline: float
    call_timeout_s: float
    interpreted: bool
    rate: float

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()
