"""Times device work by CUPTI, through the torch profiler."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch._C._autograd import DeviceType

QUEUE_CYCLES = 1_000_000
"""Length of the waiting kernel, about half a millisecond: longer than launching nine kernels."""
SAMPLES = 9
Act = Callable[[], Any]


class Stopwatch:
    """Times device work, many acts in one session of the profiler, which is slow to start."""

    def __init__(self, device: torch.device) -> None:
        properties = torch.cuda.get_device_properties(device)
        self.l2_bytes = int(getattr(properties, "L2_cache_size", 0)) or 64 << 20
        self._scratch = torch.empty(2 * self.l2_bytes, dtype=torch.uint8, device=device)

    def spans(
        self, acts: Mapping[str, Act], count: int = SAMPLES, *, warm: bool = False
    ) -> dict[str, list[float]]:
        """First start to last end of the device activities of each act, in microseconds.

        Args:
            warm: back to back with a warm cache; else the L2 cache is overwritten before each
                sample, and its launches are queued behind a spinning kernel, so that launch time
                is not measured.

        Raises:
            RuntimeError: when the profiler did not see every sample.
        """
        for act in acts.values():
            for _ in range(2):
                act()
        torch.cuda.synchronize()
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profiler:
            for act in acts.values():
                for _ in range(count):
                    self._separate(warm=warm)
                    act()
            torch.cuda.synchronize()
        seen = [max(e for _, e in group) - min(s for s, _ in group) for group in groups(profiler)]
        if len(seen) != count * len(acts):
            raise RuntimeError(f"CUPTI saw {len(seen)} of {count * len(acts)} samples")
        return {name: seen[i * count : (i + 1) * count] for i, name in enumerate(acts)}

    def _separate(self, *, warm: bool) -> None:
        """Separates two samples by activities that `is_separator` recognises."""
        if warm:
            self._scratch[:16].fill_(1)
        else:
            self._scratch.fill_(1)
            torch.cuda._sleep(QUEUE_CYCLES)

    def per_step(
        self,
        acts: Mapping[str, Callable[[int], Any]],
        steps: tuple[int, int],
        *,
        warm: bool = True,
    ) -> dict[str, tuple[float, list[float]]]:
        """Microseconds of one step of each act, by the difference of a short and a long run of it.

        So what happens once in a launch does not count.

        Returns:
            By name, the time of one step, and the samples of both runs.
        """
        few, many = steps
        both: dict[str, Act] = {}
        for name, act in acts.items():
            both[f"{name} few"] = lambda act=act: act(few)
            both[f"{name} many"] = lambda act=act: act(many)
        spans = self.spans(both, warm=warm)
        found: dict[str, tuple[float, list[float]]] = {}
        for name in acts:
            short, long = spans[f"{name} few"], spans[f"{name} many"]
            gap = statistics.median(long) - statistics.median(short)
            found[name] = gap / (many - few), [*short, *long]
        return found


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
