"""Raw counters of one profiled call to a `KernelProfile` for each kernel.

Counter names drift between releases of Nsight Compute and between architectures, so each figure
lists every name it is known by, first choice first, and is None where no name was collected. The
names were checked against NVIDIA's guides and against listings of reports from Hopper and
Blackwell machines. Percentages are of the hardware's peak as Nsight Compute defines it, over the
whole kernel ("elapsed") unless said.

What it cannot promise: that a figure under the profiler is the one of an unprofiled run. Launches
are serialised and replayed, clocks are left alone; rank by the timer, explain with this.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from ..schema.evaluation import FiniteFloat, Record
from .quantities import Quantity

NAME_CHARACTERS = 300
TOP_STALLS = 5
TOP_RULES = 5
SECTOR_BYTES = 32
_ELAPSED = "avg.pct_of_peak_sustained_elapsed"
_ACTIVE = "avg.pct_of_peak_sustained_active"
_STALL = re.compile(r"smsp__average_warps_issue_stalled_(\w+?)_per_issue_active\.ratio")
_SAMPLED_STALL = re.compile(r"smsp__pcsamp_warps_issue_stalled_(\w+)(?<!_not_issued)")

NAMES: dict[str, tuple[str, ...]] = {
    "duration": ("gpu__time_duration.sum", "gpu__time_duration.avg", "gpu__time_duration.max"),
    "waves": ("launch__waves_per_multiprocessor",),
    "registers": ("launch__registers_per_thread",),
    "shared": ("launch__shared_mem_per_block",),
    "shared_static": ("launch__shared_mem_per_block_static",),
    "shared_dynamic": ("launch__shared_mem_per_block_dynamic",),
    "sm_count": ("device__attribute_multiprocessor_count", "launch__sm_count"),
    "cluster": ("launch__cluster_size",),
    "occupancy_theoretical": ("sm__maximum_warps_per_active_cycle_pct",),
    "occupancy_achieved": (f"sm__warps_active.{_ACTIVE}",),
    "compute": (f"sm__throughput.{_ELAPSED}",),
    "memory": (f"gpu__compute_memory_throughput.{_ELAPSED}",),
    "dram": (f"gpu__dram_throughput.{_ELAPSED}", f"dram__throughput.{_ELAPSED}"),
    "dram_read_percent": ("dram__bytes_read.sum.pct_of_peak_sustained_elapsed",),
    "dram_write_percent": ("dram__bytes_write.sum.pct_of_peak_sustained_elapsed",),
    "dram_read": ("dram__bytes_read.sum", "dram__bytes_op_read.sum"),
    "dram_write": ("dram__bytes_write.sum", "dram__bytes_op_write.sum"),
    "dram_rate": ("dram__bytes.sum.per_second", "dram__bytes_read.sum.per_second"),
    "l2": (f"lts__throughput.{_ELAPSED}",),
    "l1": (f"l1tex__throughput.{_ELAPSED}", f"l1tex__throughput.{_ACTIVE}"),
    "l1_hit": ("l1tex__t_sector_hit_rate.pct",),
    "l2_hit": ("lts__t_sector_hit_rate.pct",),
    "tensor": (
        f"sm__pipe_tensor_cycles_active.{_ELAPSED}",
        f"sm__pipe_tensor_cycles_active.{_ACTIVE}",
        f"sm__pipe_tensor_subpipe_hmma_cycles_active.{_ELAPSED}",
        f"sm__pipe_tensor_subpipe_hmma_cycles_active.{_ACTIVE}",
        f"sm__pipe_tensor_op_hmma_cycles_active.{_ELAPSED}",
        f"sm__pipe_tensor_op_hmma_cycles_active.{_ACTIVE}",
        f"sm__inst_executed_pipe_tensor.{_ACTIVE}",
    ),
    "fma": (
        f"sm__pipe_fma_cycles_active.{_ELAPSED}",
        f"sm__pipe_fma_cycles_active.{_ACTIVE}",
        f"sm__inst_executed_pipe_fma.{_ELAPSED}",
        f"sm__inst_executed_pipe_fma.{_ACTIVE}",
    ),
    "issue": (
        f"smsp__issue_active.{_ACTIVE}",
        f"sm__issue_active.{_ACTIVE}",
        f"sm__inst_issued.{_ACTIVE}",
        f"sm__inst_issued.{_ELAPSED}",
    ),
    "warps_active": ("smsp__warps_active.avg.per_cycle_active",),
    "warps_eligible": ("smsp__warps_eligible.avg.per_cycle_active",),
    "warp_cycles": ("smsp__average_warp_latency_per_inst_issued.ratio",),
    "sm_active": ("sm__cycles_active.avg",),
    "sm_active_max": ("sm__cycles_active.max",),
    "sm_elapsed": ("sm__cycles_elapsed.avg", "sm__cycles_elapsed.max", "gpc__cycles_elapsed.max"),
    "load_sector_bytes": ("smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio",),
    "load_sector_percent": ("smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.pct",),
    "sectors": ("memory_l2_theoretical_sectors_global",),
    "sectors_ideal": ("memory_l2_theoretical_sectors_global_ideal",),
    "sectors_excess": ("derived__memory_l2_theoretical_sectors_global_excessive",),
    "load_sectors": ("l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",),
    "load_requests": ("l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",),
    "shared_wavefronts": ("memory_l1_wavefronts_shared",),
    "shared_wavefronts_ideal": ("memory_l1_wavefronts_shared_ideal",),
    "shared_wavefronts_excess": ("derived__memory_l1_wavefronts_shared_excessive",),
    "bank_conflicts": ("l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum",),
    "bank_wavefronts": ("l1tex__data_pipe_lsu_wavefronts_mem_shared.sum",),
    "shared_share": (
        "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum.pct_of_peak_sustained_elapsed",
        f"l1tex__data_pipe_lsu_wavefronts_mem_shared.{_ELAPSED}",
    ),
    "spill_requests": (
        "derived__local_spilling_requests",
        "sass__inst_executed_register_spilling_mem_local",
        "sass__inst_executed_register_spilling",
    ),
    "local_loads": (
        "smsp__sass_inst_executed_op_local_ld.sum",
        "smsp__inst_executed_op_local_ld.sum",
    ),
    "local_stores": (
        "smsp__sass_inst_executed_op_local_st.sum",
        "smsp__inst_executed_op_local_st.sum",
    ),
    "instructions": ("smsp__inst_executed.sum", "sm__inst_executed.sum"),
}
"""Each figure's counters, first choice first."""
_LIMITS = {
    "registers": "launch__occupancy_limit_registers",
    "shared_memory": "launch__occupancy_limit_shared_mem",
    "warps": "launch__occupancy_limit_warps",
    "blocks": "launch__occupancy_limit_blocks",
    "barriers": "launch__occupancy_limit_barriers",
}


@dataclass(frozen=True)
class RawKernel:
    """One profiled launch as the report holds it: counters in base units, and the tool's rules."""

    name: str
    metrics: Mapping[str, Quantity]
    grid: tuple[int, ...] = ()
    block: tuple[int, ...] = ()
    rules: Sequence[Mapping[str, object]] = field(default_factory=tuple)


class Stall(Record):
    """Why warps waited: cycles a warp spends so for each instruction that it issues."""

    reason: str
    cycles: float
    share: float = Field(description="Of all warp cycles, 0 to 1.")


class Rule(Record):
    """One finding of the profiler's own rules."""

    name: str
    message: str
    speedup_percent: FiniteFloat = None
    kind: str | None = Field(
        default=None, description="'global': of the whole kernel; 'local': of what the rule names."
    )


class KernelProfile(Record):
    """What the counters say of one kernel name; figures are those of its longest launch."""

    name: str
    launches: int = 1
    share: float = Field(default=1.0, description="Of the call's device time, 0 to 1.")
    duration_us: FiniteFloat = Field(default=None, description="Sum over its launches.")
    grid: list[int] = Field(default_factory=list)
    block: list[int] = Field(default_factory=list)
    waves: FiniteFloat = None
    sm_count: int | None = None
    cluster: int | None = None
    registers: int | None = None
    shared_bytes: int | None = None
    occupancy_theoretical_percent: FiniteFloat = None
    occupancy_achieved_percent: FiniteFloat = None
    occupancy_limit: str | None = None
    compute_percent: FiniteFloat = Field(default=None, description="Compute (SM) throughput.")
    memory_percent: FiniteFloat = Field(default=None, description="Memory throughput, any level.")
    dram_percent: FiniteFloat = None
    l2_percent: FiniteFloat = None
    l1_percent: FiniteFloat = None
    tensor_percent: FiniteFloat = None
    fma_percent: FiniteFloat = None
    issue_percent: FiniteFloat = Field(default=None, description="Of issue slots, while active.")
    sm_active_percent: FiniteFloat = Field(
        default=None, description="Share of the duration in which an average SM had a warp."
    )
    sm_imbalance: FiniteFloat = Field(default=None, description="Busiest over average SM.")
    dram_bytes: FiniteFloat = None
    dram_bytes_per_second: FiniteFloat = None
    l1_hit_percent: FiniteFloat = None
    l2_hit_percent: FiniteFloat = None
    sector_efficiency_percent: FiniteFloat = Field(
        default=None, description="Useful bytes of each 32-byte sector of global accesses."
    )
    sectors_per_load: FiniteFloat = None
    bank_conflict_percent: FiniteFloat = Field(
        default=None, description="Shared-memory wavefronts that conflicts added, of all."
    )
    shared_wavefront_percent: FiniteFloat = Field(
        default=None, description="Shared-memory wavefronts over their peak rate."
    )
    spill_requests: FiniteFloat = None
    local_instructions: FiniteFloat = None
    instructions: FiniteFloat = None
    warps_active: FiniteFloat = Field(default=None, description="Per scheduler and cycle.")
    warps_eligible: FiniteFloat = Field(default=None, description="Per scheduler and cycle.")
    warp_cycles_per_instruction: FiniteFloat = None
    stalls: list[Stall] = Field(default_factory=list)
    rules: list[Rule] = Field(default_factory=list)


class _Counters:
    """Looks figures up by every name they are known by."""

    def __init__(self, metrics: Mapping[str, Quantity]) -> None:
        self._metrics = metrics

    def get(self, figure: str) -> float | None:
        for name in NAMES[figure]:
            found = self._metrics.get(name)
            if found is not None and math.isfinite(found.value):
                return found.value
        return None

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
    """Groups the launches of one call by kernel name, longest in total first.

    Args:
        raw: every launch inside the profiled range.
    """
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
        "l1_percent": counters.get("l1"),
        "tensor_percent": counters.get("tensor"),
        "fma_percent": counters.get("fma"),
        "issue_percent": counters.get("issue"),
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
        "local_instructions": counters.total("local_loads", "local_stores"),
        "instructions": counters.get("instructions"),
        "warps_active": counters.get("warps_active"),
        "warps_eligible": counters.get("warps_eligible"),
        "warp_cycles_per_instruction": counters.get("warp_cycles"),
        "stalls": _stalls(raw.metrics),
        "rules": _rules(raw.rules),
    }


def _capped(percent: float | None) -> float | None:
    return None if percent is None else min(percent, 100.0)


def _occupancy_limit(metrics: Mapping[str, Quantity]) -> str | None:
    blocks = {
        name: metrics[counter].value for name, counter in _LIMITS.items() if counter in metrics
    }
    return min(blocks, key=lambda name: blocks[name]) if blocks else None


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


def _stalls(metrics: Mapping[str, Quantity]) -> list[Stall]:
    for pattern in (_STALL, _SAMPLED_STALL):
        cycles = {
            match.group(1): quantity.value
            for name, quantity in metrics.items()
            if (match := pattern.fullmatch(name)) and math.isfinite(quantity.value)
        }
        total = sum(cycles.values())
        if total > 0:
            waits = {reason: c for reason, c in cycles.items() if reason != "selected" and c > 0}
            top = sorted(waits.items(), key=lambda item: item[1], reverse=True)[:TOP_STALLS]
            return [Stall(reason=r, cycles=round(c, 4), share=c / total) for r, c in top]
    return []


def _rules(rules: Sequence[Mapping[str, object]]) -> list[Rule]:
    found = []
    for rule in rules:
        message = " ".join(str(rule.get("message") or "").split())
        speedup = rule.get("speedup_percent")
        if message:
            found.append(
                Rule(
                    name=str(rule.get("name") or "rule"),
                    message=message[:600],
                    speedup_percent=float(speedup) if isinstance(speedup, int | float) else None,
                    kind=str(rule["kind"]) if rule.get("kind") else None,
                )
            )
    found.sort(key=lambda rule: rule.speedup_percent or -1.0, reverse=True)
    return found[:TOP_RULES]
