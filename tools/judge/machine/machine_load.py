"""Notices work of others on the machine while calls are timed.

On the device it makes the judge's own matrix products slow; on the processor it makes the judge's
thread wait, which Linux counts.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import torch

PREHEAT_S = 0.2
STEADY_S = 0.04
STEADY_SHARE = 0.05
PRODUCTS = 20
SLOW = 1.5
"""Times the least that a batch of products took: more than a power cap does, less than sharing."""
WAIT_S = 2.0
"""For a device that others use to become quiet."""
WAITED_SHARE = 0.1
"""Of the time, that the judge's thread was ready to run and did not."""
SCHEDULED = Path("/proc/thread-self/schedstat")


class MachineLoad:
    """Notices work of others on the device and on the processor while calls are timed.

    Args:
        device: a GPU.
        least_s: of a batch of the judge's products so far, where any were made.
    """

    def __init__(self, device: torch.device, least_s: float | None = None) -> None:
        self._device, self.least_s = device, least_s
        self._matrix: torch.Tensor | None = None
        self._began, self._waited = time.monotonic(), waited_s()
        self._slowest = 0.0

    def preheat(self) -> None:
        """Multiplies matrices until batches take a steady time, and no more than on a quiet device.

        An idle GPU runs at a fifth of its clock rate. Work of others is waited for, not for long.
        """
        self._matrix = torch.randn(4096, 4096, device=self._device, dtype=torch.float16)
        ends = [time.monotonic()]
        while not self._ready(ends):
            self._products()
            ends.append(time.monotonic())
        self._note(ends)
        self._began, self._waited = time.monotonic(), waited_s()

    def look(self) -> None:
        """Makes a few products after the timing, where there were some before it."""
        if self._matrix is None:
            return
        ends = [time.monotonic()]
        for _ in range(3):
            self._products()
            ends.append(time.monotonic())
        self._note(ends)

    @property
    def disturbance(self) -> str:
        """What others did since `preheat`, in words; empty where nothing was noticed."""
        if self._matrix is None:
            return ""
        spent = time.monotonic() - self._began
        share = (waited_s() - self._waited) / spent if spent > 0 else 0.0
        return disturbance(self._slowest, self.least_s, share)

    def _ready(self, ends: list[float]) -> bool:
        spent = ends[-1] - ends[0]
        if spent < PREHEAT_S and not steady(ends):
            return False
        last = ends[-1] - ends[-2]
        return spent >= WAIT_S or self.least_s is None or last <= SLOW * self.least_s

    def _products(self) -> None:
        matrix = self._matrix
        assert matrix is not None
        for _ in range(PRODUCTS):
            torch.mm(matrix, matrix)
        torch.cuda.synchronize(self._device)

    def _note(self, ends: list[float]) -> None:
        """Keeps the least of these batches, and of the last three the shortest where it is slow."""
        times = [b - a for a, b in pairwise(ends)]
        least = min(times)
        self.least_s = least if self.least_s is None else min(least, self.least_s)
        self._slowest = max(self._slowest, min(times[-3:]))


def disturbance(batch_s: float, least_s: float | None, waited_share: float) -> str:
    """How others disturb the machine, in words; empty where they do not.

    Args:
        batch_s: of the judge's products lately.
        least_s: of such a batch at any time.
        waited_share: of the time, that the judge's thread was ready to run and did not.
    """
    found = []
    if least_s and batch_s > SLOW * least_s:
        found.append(
            f"the device is used by others: the judge's matrix products take "
            f"{batch_s / least_s:.1f} times as long as on a quiet one"
        )
    if waited_share > WAITED_SHARE:
        found.append(
            f"the processor is used by others: the judge waited for it {waited_share:.0%} of the "
            "time"
        )
    return "; ".join(found)


def waited_s() -> float:
    """How long this thread was ready to run and did not, so far; 0 where Linux does not count."""
    try:
        return int(SCHEDULED.read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def steady(ends: list[float]) -> bool:
    """Whether batches with these end times took a steady time lately."""
    lately = [b - a for a, b in pairwise(ends) if a >= ends[-1] - STEADY_S]
    if len(lately) < 3 or ends[-1] - ends[0] < STEADY_S:
        return False
    return max(lately) <= (1 + STEADY_SHARE) * min(lately)
