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
    """Holds the device back in steps that wait for it, and tells their time on it."""

    def __init__(self) -> None:
        self._host_s = 0.0
        self._bound = False
        self._began: torch.cuda.Event | None = None
        self._ended: torch.cuda.Event | None = None
        self._event_us: float | None = None

    def look(self, host_s: float, *, waits: bool) -> None:
        """Notes of a step in which the device was not held back whether it waited for the device.

        Args:
            host_s: until it was launched.
        """
        self._bound = waits and torch.cuda.is_initialized()
        self._host_s = max(self._host_s, host_s) if self._bound else 0.0

    def hold(self) -> None:
        """Holds the device back for a step that begins, where steps wait for it."""
        self._began = self._ended = None
        if not self._bound or torch.cuda.is_current_stream_capturing():
            return
        if self._event_us is None:
            self._event_us = _event_us()
        keep_busy(min(self._host_s * LONGER, MOST_S))
        self._began = torch.cuda.Event(enable_timing=True)
        self._began.record()

    def ended(self) -> None:
        """The step has been launched."""
        if self._began is not None:
            self._ended = torch.cuda.Event(enable_timing=True)
            self._ended.record()

    def step_us(self, calls: int) -> float | None:
        """The device's time of the step, once it has done all, without that of events.

        None where the device was not held back.

        Args:
            calls: around which two events were.
        """
        if self._began is None or self._ended is None or self._event_us is None:
            return None
        # Of the two one is within the time that they tell of the call, and goes with it.
        return self._began.elapsed_time(self._ended) * 1e3 - calls * self._event_us


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
