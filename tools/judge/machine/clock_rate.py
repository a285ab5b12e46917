"""Waits until a device's clock is at its usual rate, told by work of a fixed number of cycles.

Work that draws much power, as the matrix products before a timing, lowers the rate for a tenth of a
second after its end: of 3.2 us a kernel then takes up to 4.0 (H200).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median

import torch

CLOCK_WAIT_S = 0.5
STEADY_S = 0.06
"""A clock that comes back stays at a rate for up to 30 ms."""
USUAL_RATIO = 1.02
"""The spans themselves vary by one per cent."""
SPINS, SPIN_CYCLES = 5, 100_000
"""Each long beside what its events cost, and all together less than a millisecond."""


def wait_for_rate(span_ns: Callable[[], float | None], least_ns: float | None) -> float | None:
    """Waits until work of a fixed number of cycles takes no longer than ever; its least span.

    Args:
        span_ns: does the work, and tells how long it took; None where nothing tells.
        least_ns: of all such work before; where there was none, a steady span is waited for.

    Returns:
        Where the wait was in vain, the span that is usual now; `least_ns` where nothing tells one.
    """
    best_ns, since = math.inf, time.monotonic()
    ends = since + CLOCK_WAIT_S
    while True:
        span = span_ns()
        if span is None:
            return least_ns
        now = time.monotonic()
        if least_ns and span <= least_ns * USUAL_RATIO:
            return min(span, least_ns)
        if span * USUAL_RATIO < best_ns:
            best_ns, since = span, now
        if now > ends or (least_ns is None and now - since > STEADY_S):
            return min(span, best_ns)


class OwnClock:
    """The clock rate of a device as spins of this process tell it; on a CPU nothing is told.

    Args:
        device: where this process has a context.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._least_ns: float | None = None

    def wait(self) -> None:
        """Waits for the usual rate, for half a second at most."""
        self._least_ns = wait_for_rate(self._span_ns, self._least_ns)

    def is_usual(self) -> bool:
        """Whether the device is at the rate that was usual when it was waited for."""
        span = self._span_ns() if self._least_ns else None
        return bool(span and self._least_ns and span <= self._least_ns * USUAL_RATIO)

    def _span_ns(self) -> float | None:
        """The median span of some spins; None on a CPU."""
        if self._device.type != "cuda":
            return None
        pairs: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        with torch.cuda.device(self._device):
            torch.cuda._sleep(SPIN_CYCLES)  # so that no event waits for the host
            for _ in range(SPINS):
                begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begun.record()
                torch.cuda._sleep(SPIN_CYCLES)
                ended.record()
                pairs.append((begun, ended))
            torch.cuda.synchronize()
        return median(begun.elapsed_time(ended) for begun, ended in pairs) * 1e6
