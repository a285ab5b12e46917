"""Makes a `KernelProfile` for each kernel of one call from its raw counters.

A figure is None where none of the counters it is known by (`counters`) was collected. Percentages
are of the hardware's peak as Nsight Compute defines it, over the whole kernel: a counter that holds
for busy multiprocessors only is scaled by the share of the time in which they were busy.

What it cannot promise: that a figure under the profiler is the one of an unprofiled run. Launches
are serialised and replayed, clocks are left alone; rank by the timer, explain with this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..diagnosis.kernel_profile import NAME_CHARACTERS, KernelProfile, Rule, Stall
from .counters import NAMES, OCCUPANCY_LIMITS, SAMPLED_STALL, STALL

TOP_STALLS = 5
TOP_RULES = 5
SECTOR_BYTES = 32


@dataclass(frozen=True)
class RawKernel:
    """One profiled launch as the report holds it: finite counters in base units, rules."""

    name: str
    metrics: Mapping[str, float]
    grid: tuple[int, ...] = ()
    block: tuple[int, ...] = ()
    rules: Sequence[Rule] = ()


class _Counters:
    """Looks up figures by each of their counters' names."""

    def __init__(self, metrics: Mapping[str, float]) -> None:
        self._metrics = metrics

    def get(self, figure: str) -> float | None:
        return next((self._metrics[n] for n in NAMES[figure] if n in self._metrics), None)

    def over_duration(self, figure: str, active_share: float | None) -> float | None:
        """A percentage of peak over the whole kernel, scaled by the active time where needed."""
        name = next((n for n in NAMES[figure] if n in self._metrics), None)
        if name is None:
            return None
        while_active = name.endswith("sustained_active")
        return self._metrics[name] * (active_share or 1.0 if while_active else 1.0)

    def whole(self, figure: str) -> int | None:
        value = self.get(figure)
        return None if value is None else round(value)

    def total(self, *figures: str) -> float | None:
        values = [v for v in (self.get(f) for f in figures) if v is not None]
        return sum(values) if values else None

    def ratio(self, above: str, below: str, scale: float = 1.0) -> float | None:
        numerator, denominator = self.get(above), self.get(below)
        if numerator is None or not denominator:
            return None
        return scale * numerator / denominator


def kernel_profiles(raw: Iterable[RawKernel]) -> list[KernelProfile]:
    """Groups the launches of one call by kernel name, longest in total first."""
    groups: dict[str, list[RawKernel]] = {}
    for launch in raw:
        groups.setdefault(launch.name[:NAME_CHARACTERS], []).append(launch)
    durations = {name: sum(_seconds(r) or 0.0 for r in rows) for name, rows in groups.items()}
    everything = sum(durations.values())
    profiles = []
    for name, rows in groups.items():
        longest = max(rows, key=lambda row: _seconds(row) or 0.0)
        known = any(_seconds(row) is not None for row in rows)
        summary: dict[str, Any] = {
            "name": name,
            "launches": len(rows),
            "share": durations[name] / everything if everything else 1 / len(groups),
            "duration_us": durations[name] * 1e6 if known else None,
        }
        profiles.append(KernelProfile(**summary, **_figures(longest)))
    return sorted(profiles, key=lambda p: p.duration_us or 0.0, reverse=True)


def _seconds(raw: RawKernel) -> float | None:
    return _Counters(raw.metrics).get("duration")


def _figures(raw: RawKernel) -> dict[str, Any]:
    counters = _Counters(raw.metrics)
    shared = counters.total("shared_static", "shared_dynamic")
    dram = counters.get("dram")
    active = _active_share(counters, raw.grid)
    return {
        "grid": list(raw.grid),
        "block": list(raw.block),
        "waves": counters.get("waves"),
        "sm_count": counters.whole("sm_count"),
        "cluster": counters.whole("cluster"),
        "registers": counters.whole("registers"),
        "shared_bytes": round(shared) if shared is not None else counters.whole("shared"),
        "occupancy_theoretical_percent": counters.get("occupancy_theoretical"),
        "occupancy_achieved_percent": counters.get("occupancy_achieved"),
        "occupancy_limit": _occupancy_limit(raw.metrics),
        "compute_percent": counters.get("compute"),
        "memory_percent": counters.get("memory"),
        "dram_percent": (
            counters.total("dram_read_percent", "dram_write_percent") if dram is None else dram
        ),
        "l2_percent": counters.get("l2"),
        "l1_percent": counters.over_duration("l1", active),
        "tensor_percent": counters.over_duration("tensor", active),
        "fma_percent": counters.over_duration("fma", active),
        "issue_percent": counters.over_duration("issue", active),
        "sm_active_percent": _capped(counters.ratio("sm_active", "sm_elapsed", 100.0)),
        "sm_imbalance": counters.ratio("sm_active_max", "sm_active"),
        "dram_bytes": counters.total("dram_read", "dram_write"),
        "dram_bytes_per_second": counters.get("dram_rate"),
        "l1_hit_percent": counters.get("l1_hit"),
        "l2_hit_percent": counters.get("l2_hit"),
        "sector_efficiency_percent": _sector_efficiency(counters),
        "sectors_per_load": counters.ratio("load_sectors", "load_requests"),
        "bank_conflict_percent": _bank_conflicts(counters),
        "shared_wavefront_percent": counters.get("shared_share"),
        "spill_requests": counters.get("spill_requests"),
        "spill_percent": counters.get("spill_percent"),
        "local_instructions": counters.total("local_loads", "local_stores"),
        "instructions": counters.get("instructions"),
        "warps_active": counters.get("warps_active"),
        "warps_eligible": counters.get("warps_eligible"),
        "warp_cycles_per_instruction": counters.get("warp_cycles"),
        "stalls": _stalls(raw.metrics),
        "rules": sorted(raw.rules, key=lambda r: -(r.speedup_percent or -1.0))[:TOP_RULES],
    }


def _active_share(counters: _Counters, grid: tuple[int, ...]) -> float | None:
    """Share of the machine's time in which an SM had work, 0 to 1; by blocks if not measured."""
    measured = counters.ratio("sm_active", "sm_elapsed")
    if measured is not None:
        return min(measured, 1.0)
    sms = counters.get("sm_count")
    return min(math.prod(grid) / sms, 1.0) if sms and grid else None


def _capped(percent: float | None) -> float | None:
    return None if percent is None else min(percent, 100.0)


def _occupancy_limit(metrics: Mapping[str, float]) -> str | None:
    blocks = {
        name: metrics[counter] for name, counter in OCCUPANCY_LIMITS.items() if counter in metrics
    }
    return min(blocks, key=lambda resource: blocks[resource]) if blocks else None


def _sector_efficiency(counters: _Counters) -> float | None:
    ideal = counters.ratio("sectors_ideal", "sectors", 100.0)
    if ideal is not None:
        return _capped(ideal)
    excess = counters.ratio("sectors_excess", "sectors", 100.0)
    if excess is not None:
        return 100.0 - excess
    used = counters.get("load_sector_bytes")
    if used is not None:
        return _capped(100.0 * used / SECTOR_BYTES)
    return counters.get("load_sector_percent")


def _bank_conflicts(counters: _Counters) -> float | None:
    """Conflicts by address where source counters were collected, else by the hardware's count.

    The hardware's count also holds waits for other clients of shared memory (bulk copies, tensor
    cores), so it may show conflicts where the addresses have none.
    """
    excess = counters.ratio("shared_wavefronts_excess", "shared_wavefronts", 100.0)
    if excess is not None:
        return excess
    ideal = counters.ratio("shared_wavefronts_ideal", "shared_wavefronts", 100.0)
    if ideal is not None:
        return max(0.0, 100.0 - ideal)
    return _capped(counters.ratio("bank_conflicts", "bank_wavefronts", 100.0))


def _stalls(metrics: Mapping[str, float]) -> list[Stall]:
    for pattern in (STALL, SAMPLED_STALL):
        cycles = {
            match.group(1): cycles_waited
            for name, cycles_waited in metrics.items()
            if (match := pattern.fullmatch(name))
        }
        total = sum(cycles.values())
        if total > 0:
            waits = {reason: c for reason, c in cycles.items() if reason != "selected" and c > 0}
            top = sorted(waits.items(), key=lambda item: item[1], reverse=True)[:TOP_STALLS]
            return [Stall(reason=r, cycles=round(c, 4), share=c / total) for r, c in top]
    return []
