"""A device that is held back until the host is ahead of it, so that clocks cost it nothing.

Where a program's steps wait for the device, the host launches ahead. Clocks around many small calls
make the host slower than the device, and what they then measure is waiting for the host.
"""

from __future__ import annotations

import statistics

import torch

CYCLES_PER_S = 2_000_000_000
"""More than a GPU makes, so that what is to keep it busy does for long enough."""
LONGER = 1.5
"""Times what the host needs for a step it is held back, for clocks are the host's work, too."""
MOST_S = 1.0
EVENTS = 200


def keep_busy(seconds: float) -> None:
    """Has the device do nothing for at least so long, before all that follows."""
    torch.cuda._sleep(int(seconds * CYCLES_PER_S))


class DelayedDevice:
    """Holds the device back in steps that wait for it.

    Attributes:
        bound: whether steps wait for the device.
        event_us: what an event costs it among others; 0 where steps do not wait for it.
    """

    def __init__(self) -> None:
        self.bound = False
        self.event_us = 0.0
        self._host_s = 0.0

    def look(self, host_s: float, *, waits: bool) -> None:
        """Notes of a step in which the device was not held back whether it waited for the device.

        Args:
            host_s: until it was launched.
        """
        self.bound = waits and torch.cuda.is_initialized()
        self._host_s = max(self._host_s, host_s) if self.bound else 0.0
        if not self.bound:
            self.event_us = 0.0
        elif not self.event_us:
            self.event_us = _event_us()

    def hold(self) -> None:
        """Holds the device back for a step that begins, where steps wait for it."""
        if self.bound and not torch.cuda.is_current_stream_capturing():
            keep_busy(min(self._host_s * LONGER, MOST_S))


def _event_us() -> float:
    """What an event costs the device among others."""
    found: list[float] = []
    for _ in range(3):
        keep_busy(2e-3)
        events = [torch.cuda.Event(enable_timing=True) for _ in range(EVENTS + 1)]
        for event in events:
            event.record()
        torch.cuda.synchronize()
        found.append(events[0].elapsed_time(events[-1]) * 1e3 / EVENTS)
    return statistics.median(found)
