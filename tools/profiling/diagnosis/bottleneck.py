"""Finds the bottleneck of a kernel from its profile and floors, with the figures that show it.

Pure, and a list of rules in a fixed order, so that a reader can argue with it:

    spills             local-memory traffic of a size that matters
    throughput         a unit works at 60 % of its peak or more: compute or memory bandwidth
    launch             shorter than any kernel can usefully be
    serial chain       the work is known to have dependent steps, and no unit is busy
    tail               part of the machine had nothing to do
    occupancy          too few warps fit to hide the waiting
    memory latency     warps wait for memory, and no unit is busy
    serial chain       warps wait for their own previous instruction

A whole call is launch-bound or a serial chain by its number of short kernels; else it has the
bottleneck of its longest kernel.

What it cannot promise: that removing the bottleneck gains what a hint estimates. Estimates are
upper bounds from one profile; the next bottleneck is behind the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from ...schema.record_model import FiniteFloat, RecordModel
from .kernel_profile import KernelProfile

BUSY_PERCENT = 60.0
"""A unit at or above this share of its peak decides the bottleneck (NVIDIA's rule of thumb)."""
FULL_DRAM_PERCENT = 75.0
"""From here DRAM decides whatever else is busy: a copy reaches little more."""
IDLE_PERCENT = 40.0
SHORT_US = 3.0
"""A kernel this short mostly starts and ends; measured launch floors are near 2 µs."""
SHORT_CHAIN_US = 6.0
"""Mean length below which several kernels cost more to launch than to run."""
TAIL_LOSS = 0.2
LOCAL_SHARE = 0.02
SPILL_PERCENT = 50.0
"""Share of local requests that are spills, where instructions were not collected."""
LOW_OCCUPANCY_PERCENT = 30.0
CONFLICT_PERCENT = 25.0
CHAIN_SHARE = 0.3
LONG_CHAIN = 16
"""Dependent steps that make a chain whatever is known of their length."""


class Bottleneck(StrEnum):
    """What limits a kernel's speed."""

    COMPUTE = "compute"
    MEMORY_BANDWIDTH = "memory_bandwidth"
    MEMORY_LATENCY = "memory_latency"
    LAUNCH = "launch"
    SERIAL_CHAIN = "serial_chain"
    TAIL = "tail"
    OCCUPANCY = "occupancy"
    SPILLS = "spills"


class MetricEvidence(RecordModel):
    """One figure that shows a bottleneck."""

    metric: str
    value: FiniteFloat
    unit: str = ""
    says: str = ""


class Diagnosis(RecordModel):
    """A bottleneck and why it is believed."""

    bottleneck: Bottleneck
    level: str | None = Field(
        default=None, description="The busy unit: 'DRAM', 'L2', 'L1', 'shared memory', 'tensor'…"
    )
    kernel: str | None = None
    evidence: list[MetricEvidence] = Field(default_factory=list)


@dataclass(frozen=True)
class WorkFloors:
    """Figures of the work from the cost model; all optional.

    Attributes:
        floor_us: least time by bytes and operations on this device.
        limiter: what sets that floor: 'memory', or a unit of computation.
        latency_floor_us: the same with launch and dependent steps.
        bytes_moved: bytes that any correct kernel must move.
        serial_steps: dependent steps inside the work; 0 when unknown or none.
        serial_us: least time of those steps in a row.
        dependent_kernels: fewest kernels that must wait for one another.
    """

    floor_us: float | None = None
    limiter: str | None = None
    latency_floor_us: float | None = None
    bytes_moved: float | None = None
    serial_steps: int = 0
    serial_us: float | None = None
    dependent_kernels: int = 1


NO_FLOORS = WorkFloors()


def diagnose_call(
    kernels: Sequence[KernelProfile], floors: WorkFloors = NO_FLOORS
) -> Diagnosis | None:
    """Finds the bottleneck of one call.

    Args:
        kernels: the call's kernels, longest in total first; copies are not among them.

    Returns:
        None when no kernel was profiled.
    """
    if not kernels:
        return None
    launches = sum(kernel.launches for kernel in kernels)
    total = sum(kernel.duration_us or 0.0 for kernel in kernels)
    if launches >= 2 and 0 < total / launches < SHORT_CHAIN_US:
        needed = floors.dependent_kernels >= launches
        return Diagnosis(
            bottleneck=Bottleneck.SERIAL_CHAIN if needed else Bottleneck.LAUNCH,
            kernel=kernels[0].name,
            evidence=[
                _evidence("launches", launches, "", "kernels in one call"),
                _evidence("mean_duration_us", total / launches, "us", "of one kernel"),
                _evidence("dependent_kernels", floors.dependent_kernels, "", "that must be there"),
            ],
        )
    return diagnose_kernel(kernels[0], floors)


def diagnose_kernel(kernel: KernelProfile, floors: WorkFloors = NO_FLOORS) -> Diagnosis:
    """Finds the bottleneck of one kernel by the rules of this module, in their order."""
    rules = (_spills, _throughput, _launch, _known_chain, _tail, _occupancy, _memory_latency)
    for rule in rules:
        found = rule(kernel, floors)
        if found is not None:
            return found
    return _fallback(kernel)


def stall_share(kernel: KernelProfile, *reasons: str) -> float:
    """The share of warp cycles spent in the named stall reasons, 0 to 1."""
    return sum(stall.share for stall in kernel.stalls if stall.reason in reasons)


def blocks_of(kernel: KernelProfile) -> int:
    """Thread blocks of one launch; 0 when the grid was not collected."""
    blocks = 1
    for extent in kernel.grid:
        blocks *= extent
    return blocks if kernel.grid else 0


def tail_loss(kernel: KernelProfile) -> float:
    """The share of the machine's time lost to SMs without work, 0 to 1.

    Method: idle cycles of the average SM where they were measured; else, for fewer blocks than
    SMs, the SMs without a block; else, for few waves, the empty part of the last one, which is
    right for blocks of equal length only.
    """
    losses = [0.0]
    if kernel.sm_active_percent is not None:
        losses.append(1 - kernel.sm_active_percent / 100)
    blocks = blocks_of(kernel)
    if blocks and kernel.sm_count and blocks < kernel.sm_count:
        losses.append(1 - blocks / kernel.sm_count)
    elif kernel.waves and 1 < kernel.waves < 4 and kernel.sm_active_percent is None:
        losses.append(1 - kernel.waves / -(-kernel.waves // 1))
    return max(losses)


def _evidence(metric: str, value: float | None, unit: str, says: str = "") -> MetricEvidence:
    rounded = None if value is None else round(float(value), 3)
    return MetricEvidence(metric=metric, value=rounded, unit=unit, says=says)


def _result(
    kernel: KernelProfile,
    bottleneck: Bottleneck,
    *evidence: MetricEvidence,
    level: str | None = None,
) -> Diagnosis:
    kept = [item for item in evidence if item.value is not None]
    return Diagnosis(bottleneck=bottleneck, level=level, kernel=kernel.name, evidence=kept)


def _spills(kernel: KernelProfile, floors: WorkFloors) -> Diagnosis | None:
    local, instructions = kernel.local_instructions or 0.0, kernel.instructions or 0.0
    spilled = kernel.spill_requests or 0.0
    share = max(local, spilled) / instructions if instructions else 0.0
    much = share >= LOCAL_SHARE
    if not instructions and kernel.spill_percent is not None:
        much = kernel.spill_percent >= SPILL_PERCENT
    known = kernel.spill_requests is None or spilled > 0
    if not (much and known):
        return None
    return _result(
        kernel,
        Bottleneck.SPILLS,
        _evidence("local_instruction_share", 100 * share or None, "%", "of all instructions"),
        _evidence("spill_requests", kernel.spill_requests, "", "register spills to local memory"),
        _evidence("registers", kernel.registers, "register/thread"),
        _evidence("l1_percent", kernel.l1_percent, "%", "where spills are served"),
    )


def _throughput(kernel: KernelProfile, floors: WorkFloors) -> Diagnosis | None:
    shared = kernel.shared_wavefront_percent
    memory = {
        "DRAM": kernel.dram_percent,
        "L2": kernel.l2_percent,
        "shared memory": shared,
        "L1": kernel.l1_percent,
    }
    compute = {
        "tensor": kernel.tensor_percent,
        "FP32": kernel.fma_percent,
        "issue": kernel.issue_percent,
        "SM": kernel.compute_percent,
    }
    memory_level, memory_top = _top(memory)
    compute_level, compute_top = _top(compute)
    if max(memory_top, compute_top) < BUSY_PERCENT:
        return None
    conflicts = (kernel.bank_conflict_percent or 0.0) >= CONFLICT_PERCENT
    if conflicts and memory_level in ("L1", "shared memory") and memory_top >= BUSY_PERCENT:
        memory_level, memory_top = "shared memory", 100.0
    fed = (kernel.tensor_percent or 0.0) >= BUSY_PERCENT
    full = (memory["DRAM"] or 0.0) >= FULL_DRAM_PERCENT
    if full and memory_level == "L2":
        # A copy keeps the L2 busier than the DRAM behind it, which is what holds it back.
        memory_level = "DRAM"
    if (memory_top >= compute_top and not fed) or full:
        return _result(
            kernel,
            Bottleneck.MEMORY_BANDWIDTH,
            _evidence("dram_percent", kernel.dram_percent, "%", "of DRAM peak"),
            _evidence("l2_percent", kernel.l2_percent, "%", "of L2 peak"),
            _evidence("l1_percent", kernel.l1_percent, "%", "of L1 peak"),
            _evidence("compute_percent", kernel.compute_percent, "%", "of SM peak"),
            _evidence("bank_conflict_percent", kernel.bank_conflict_percent, "%", "of wavefronts"),
            level=memory_level if memory_top >= BUSY_PERCENT else "DRAM",
        )
    return _result(
        kernel,
        Bottleneck.COMPUTE,
        _evidence("compute_percent", kernel.compute_percent, "%", "of SM peak"),
        _evidence("tensor_percent", kernel.tensor_percent, "%", "of tensor pipe"),
        _evidence("fma_percent", kernel.fma_percent, "%", "of FP32 pipe"),
        _evidence("issue_percent", kernel.issue_percent, "%", "of issue slots"),
        _evidence("dram_percent", kernel.dram_percent, "%", "of DRAM peak"),
        level=compute_level,
    )


def _top(levels: dict[str, float | None]) -> tuple[str, float]:
    known = {name: value for name, value in levels.items() if value is not None}
    if not known:
        return next(iter(levels)), 0.0
    name = max(known, key=lambda key: known[key])
    return name, known[name]


def _launch(kernel: KernelProfile, floors: WorkFloors) -> Diagnosis | None:
    duration = (kernel.duration_us or 0.0) / kernel.launches
    if not 0 < duration < SHORT_US:
        return None
    return _result(
        kernel,
        Bottleneck.LAUNCH,
        _evidence("duration_us", duration, "us", "near the time of an empty kernel"),
        _evidence("launches", kernel.launches, ""),
    )


def _known_chain(kernel: KernelProfile, floors: WorkFloors) -> Diagnosis | None:
    duration = (kernel.duration_us or 0.0) / kernel.launches
    much = (floors.serial_us or 0.0) >= CHAIN_SHARE * duration > 0
    if floors.serial_steps < 2 or not (much or floors.serial_steps >= LONG_CHAIN):
        return None
    return _result(
        kernel,
        Bottleneck.SERIAL_CHAIN,
        _evidence("serial_steps", floors.serial_steps, "", "dependent steps in the work"),
        _evidence("us_per_step", duration / floors.serial_steps, "us", "spent on each"),
        _evidence("compute_percent", kernel.compute_percent, "%", "no unit is busy"),
        _evidence("memory_percent", kernel.memory_percent, "%"),
    )


def _tail(kernel: KernelProfile, floors: WorkFloors) -> Diagnosis | None:
    loss = tail_loss(kernel)
    single = (kernel.warps_active if kernel.warps_active is not None else 16.0) <= 1.05
    waiting = stall_share(kernel, "long_scoreboard") >= 0.6
    if loss < TAIL_LOSS or (single and waiting):
        return None
    return _result(
        kernel,
        Bottleneck.TAIL,
        _evidence("blocks", blocks_of(kernel) or None, "block", "of the grid"),
        _evidence("sm_count", kernel.sm_count, "SM", "to fill"),
        _evidence("waves", kernel.waves, "wave"),
        _evidence("sm_active_percent", kernel.sm_active_percent, "%", "busy time of an average SM"),
        _evidence("sm_imbalance", kernel.sm_imbalance, "", "busiest over average SM"),
    )


def _occupancy(kernel: KernelProfile, floors: WorkFloors) -> Diagnosis | None:
    theoretical = kernel.occupancy_theoretical_percent
    limited = kernel.occupancy_limit in ("registers", "shared_memory", "barriers")
    if theoretical is None or theoretical > LOW_OCCUPANCY_PERCENT or not limited:
        return None
    if (kernel.issue_percent or 0.0) >= BUSY_PERCENT:
        return None
    return _result(
        kernel,
        Bottleneck.OCCUPANCY,
        _evidence("occupancy_theoretical_percent", theoretical, "%", str(kernel.occupancy_limit)),
        _evidence("occupancy_achieved_percent", kernel.occupancy_achieved_percent, "%"),
        _evidence("registers", kernel.registers, "register/thread"),
        _evidence("shared_bytes", kernel.shared_bytes, "byte/block"),
        _evidence("warps_eligible", kernel.warps_eligible, "warp", "ready per cycle"),
        _evidence("issue_percent", kernel.issue_percent, "%", "of issue slots"),
    )


def _memory_latency(kernel: KernelProfile, floors: WorkFloors) -> Diagnosis | None:
    waiting = stall_share(kernel, "long_scoreboard", "lg_throttle", "tex_throttle")
    if waiting < 0.35:
        return None
    return _result(
        kernel,
        Bottleneck.MEMORY_LATENCY,
        _evidence("long_scoreboard_percent", 100 * waiting, "%", "of warp cycles wait for memory"),
        _evidence("dram_percent", kernel.dram_percent, "%", "of DRAM peak: not its bandwidth"),
        _evidence("warps_active", kernel.warps_active, "warp", "per scheduler"),
        _evidence("l2_hit_percent", kernel.l2_hit_percent, "%"),
    )


def _fallback(kernel: KernelProfile) -> Diagnosis:
    """The bottleneck with the largest figure, where no unit is busy and no rule holds."""
    memory = max(kernel.dram_percent or 0.0, kernel.l2_percent or 0.0, kernel.l1_percent or 0.0)
    compute = max(kernel.compute_percent or 0.0, kernel.tensor_percent or 0.0)
    if max(memory, compute) >= IDLE_PERCENT:
        kind = Bottleneck.MEMORY_BANDWIDTH if memory >= compute else Bottleneck.COMPUTE
        unit = "memory" if memory >= compute else "compute"
        says = "the busiest unit, though below the usual mark of 60 %"
        return _result(kernel, kind, _evidence(f"{unit}_percent", max(memory, compute), "%", says))
    top = kernel.stalls[0] if kernel.stalls else None
    return _result(
        kernel,
        Bottleneck.SERIAL_CHAIN,
        _evidence("compute_percent", kernel.compute_percent, "%", "no unit is busy"),
        _evidence("memory_percent", kernel.memory_percent, "%"),
        _evidence("issue_percent", kernel.issue_percent, "%", "of issue slots"),
        _evidence(
            f"stall_{top.reason}_percent" if top else "stall_percent",
            100 * top.share if top else None,
            "%",
            "of warp cycles",
        ),
    )
