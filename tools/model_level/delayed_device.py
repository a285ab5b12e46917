"""A device that is held back until the host is ahead of it, and what clocks around calls add there.

Where a program's steps wait for the device, the host launches ahead. Clocks around many small calls
make the host slower than the device, and what they then measure is waiting for the host.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

CYCLES_PER_S = 2_000_000_000
"""More than a GPU makes, so that what is to keep it busy does for long enough."""
LONGER = 1.5
"""Times what the host needs for a step it is held back, for clocks are the host's work, too."""
MOST_S = 1.0
CALLS, TRIES = 100, 5
"""By which it is found what clocks add."""
HELD_S = 5e-3
"""The host launches and clocks so many calls in less, or the device would wait for it."""
SMALL_S = 2e-6


def keep_busy(seconds: float) -> None:
    """Has the device do nothing for at least so long, before all that follows."""
    torch.cuda._sleep(int(seconds * CYCLES_PER_S))


@dataclass(frozen=True)
class ClockCost:
    """What two events around each call do to the device's time, in microseconds of a call.

    Args:
        reading_us: in what they read of a call, above what it takes among others without events.
            It is less than 0 where they leave out more of the gap between calls than they add.
        step_us: in the time of the step that makes the call.
    """

    reading_us: float = 0.0
    step_us: float = 0.0


NO_CLOCK = ClockCost()


class DelayedDevice:
    """Holds the device back in steps that wait for it.

    Attributes:
        bound: whether steps wait for the device.
        clock: what events around a call do; nothing where steps do not wait for the device.
    """

    def __init__(self) -> None:
        self.bound = False
        self.clock = NO_CLOCK
        self._host_s = 0.0

    def look(self, host_s: float, *, waits: bool) -> None:
        """Notes of a step in which the device was not held back whether it waited for the device.

        Args:
            host_s: until it was launched.
        """
        self.bound = waits and torch.cuda.is_initialized()
        self._host_s = max(self._host_s, host_s) if self.bound else 0.0
        if not self.bound:
            self.clock = NO_CLOCK
        elif self.clock is NO_CLOCK:
            self.clock = clock_cost()

    def hold(self) -> None:
        """Holds the device back for a step that begins, where steps wait for it."""
        if self.bound and not torch.cuda.is_current_stream_capturing():
            keep_busy(min(self._host_s * LONGER, MOST_S))


def clock_cost() -> ClockCost:
    """What two events around each of many small kernels do, by the same kernels without events.

    What two events without a kernel between them cost says nothing of it: on an H200 that is more
    than a pair around a small kernel tells in all.
    """
    found = [_tried(lambda: keep_busy(SMALL_S)) for _ in range(TRIES)]
    return ClockCost(
        statistics.median(one.reading_us for one in found),
        statistics.median(one.step_us for one in found),
    )


def _tried(act: Callable[[], Any]) -> ClockCost:
    bare_us = _in_a_row_us(act)
    pairs: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def clocked() -> None:
        begun, ended = timed_events()
        begun.record()
        act()
        ended.record()
        pairs.append((begun, ended))

    clocked_us = _in_a_row_us(clocked)
    reading_us = statistics.median(begun.elapsed_time(ended) * 1e3 for begun, ended in pairs)
    return ClockCost(reading_us - bare_us, clocked_us - bare_us)


def _in_a_row_us(act: Callable[[], Any]) -> float:
    """What the device needs for a call of many that the host has launched before."""
    begun, ended = timed_events()
    torch.cuda.synchronize()
    keep_busy(HELD_S)
    begun.record()
    for _ in range(CALLS):
        act()
    ended.record()
    torch.cuda.synchronize()
    return begun.elapsed_time(ended) * 1e3 / CALLS


def timed_events() -> tuple[torch.cuda.Event, torch.cuda.Event]:
    """Two events that tell when the device came to them."""
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
