"""A device that is held back until the host is ahead of it, and what clocks around calls add there.

Where a program's steps wait for the device, the host launches ahead. Clocks around many small calls
make the host slower than the device, and what they then measure is waiting for the host.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

CYCLES_PER_S = 2_000_000_000
"""More than a GPU makes, so that what is to keep it busy does for long enough."""
LONGER = 1.5
"""Times what the host needs for a step it is held back, for clocks are the host's work, too."""
MOST_S = 1.0
CALLS, TRIES = 100, 5
"""By which it is found what clocks add."""
SMALL_S = 2e-6
EventPair = tuple[torch.cuda.Event, torch.cuda.Event]


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
    """What two events around every other small kernel do, by the same kernels without events.

    It is the same of longer kernels: 2.1 us in what is read on an H200. Two events without a kernel
    between them say nothing of it: they are 1.3 us apart there.
    """
    held_s = LONGER * _row(0.0, [])[1]  # the first one takes the host longest
    found = [_tried(held_s) for _ in range(TRIES)]
    return ClockCost(
        statistics.median(one.reading_us for one in found),
        statistics.median(one.step_us for one in found),
    )


def _tried(held_s: float) -> ClockCost:
    bare_us, _ = _row(held_s, None)
    pairs: list[EventPair] = []
    clocked_us, _ = _row(held_s, pairs)
    reading_us = statistics.median(begun.elapsed_time(ended) * 1e3 for begun, ended in pairs)
    return ClockCost(reading_us - bare_us / 2, clocked_us - bare_us)


def _row(held_s: float, pairs: list[EventPair] | None) -> tuple[float, float]:
    """Launches two small kernels again and again.

    Args:
        held_s: for which the device is held back.
        pairs: where given, the first of the two is between events, which are added to it.

    Returns:
        Microseconds of two kernels on the device, and seconds of the host for all.
    """
    begun, ended = timed_events()
    torch.cuda.synchronize()
    keep_busy(held_s)
    begun.record()
    begin = time.perf_counter()
    for _ in range(CALLS):
        if pairs is None:
            keep_busy(SMALL_S)
        else:
            pair = timed_events()
            pair[0].record()
            keep_busy(SMALL_S)
            pair[1].record()
            pairs.append(pair)
        keep_busy(SMALL_S)  # as a program has others between its calls
    host_s = time.perf_counter() - begin
    ended.record()
    torch.cuda.synchronize()
    return begun.elapsed_time(ended) * 1e3 / CALLS, host_s


def timed_events() -> EventPair:
    """Two events that tell when the device came to them."""
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
