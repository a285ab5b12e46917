"""Times device work by CUPTI, through the torch profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._C._autograd import DeviceType

QUEUE_CYCLES = 1_000_000
"""Length of the waiting kernel, about half a millisecond: longer than launching nine kernels."""


class Stopwatch:
    """Times device work by CUPTI, each sample after overwriting the L2 cache."""

    def __init__(self, device: torch.device) -> None:
        properties = torch.cuda.get_device_properties(device)
        self.l2_bytes = int(getattr(properties, "L2_cache_size", 0)) or 64 << 20
        self._scratch = torch.empty(2 * self.l2_bytes, dtype=torch.uint8, device=device)

    def spans_us(
        self, act: Callable[[], Any], count: int = 10, *, sustained: bool = False
    ) -> list[float]:
        """First start to last end of the device activities of `act`, in microseconds.

        Args:
            sustained: back to back with a warm cache; else each sample has a cold cache and its
                launches are queued behind a spinning kernel, so that launch time is not measured.
        """
        for _ in range(3):
            act()
        torch.cuda.synchronize()
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in range(count):
                self._separate(sustained=sustained)
                act()
            torch.cuda.synchronize()
        return [max(e for _, e in group) - min(s for s, _ in group) for group in groups(profiler)]

    def _separate(self, *, sustained: bool) -> None:
        """Separates two samples by activities that `is_separator` recognises."""
        if sustained:
            self._scratch[:16].fill_(1)
        else:
            self._scratch.fill_(1)
            torch.cuda._sleep(QUEUE_CYCLES)


def groups(profiler: Any) -> Iterator[list[tuple[float, float]]]:
    """Device activities between two separators, as (start, end) in microseconds."""
    rows = [
        (event.time_range.start, event.time_range.end, event.name)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA
    ]
    group: list[tuple[float, float]] = []
    for start, end, name in sorted(rows):
        if is_separator(name):
            if group:
                yield group
            group = []
        else:
            group.append((start, end))
    if group:
        yield group


def is_separator(name: str) -> bool:
    """Whether a device activity separates two samples."""
    return "FillFunctor" in name or "spin_kernel" in name or name.startswith("Memset")
