"""Estimates the bottleneck without hardware counters: from durations, launches and floors.

A bottleneck is named only where a timeline and the cost model show it; a busy unit only where the
duration is near the floor that the unit sets. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..diagnosis.bottleneck import (
    NO_FLOORS,
    SHORT_CHAIN_US,
    SHORT_US,
    TAIL_LOSS,
    Bottleneck,
    Diagnosis,
    MetricEvidence,
    WorkFloors,
    diagnose_call,
    tail_loss,
)
from ..diagnosis.kernel_profile import KernelProfile
from .chrome_trace import WorkloadTimeline

NEAR_FLOOR = 1.7
"""Times the nominal floor within which the floor's own limiter is named."""


def diagnose_timeline(
    kernels: Sequence[KernelProfile], timeline: WorkloadTimeline, floors: WorkFloors = NO_FLOORS
) -> Diagnosis | None:
    """The bottleneck of a call by its timeline alone; None where durations do not tell."""
    if not kernels:
        return None
    first = kernels[0]
    launches = sum(kernel.launches for kernel in kernels)
    total = sum(kernel.duration_us or 0.0 for kernel in kernels)
    if launches >= 2 and 0 < total / launches < SHORT_CHAIN_US:
        return diagnose_call(kernels, floors)
    if timeline.launch_bound or (launches == 1 and 0 < total < SHORT_US):
        return Diagnosis(
            bottleneck=Bottleneck.LAUNCH,
            kernel=first.name,
            evidence=[
                MetricEvidence(metric="launches", value=float(launches)),
                MetricEvidence(metric="busy_us", value=timeline.busy_us, unit="us"),
                MetricEvidence(metric="gap_us", value=timeline.gap_us, unit="us"),
                MetricEvidence(metric="host_us", value=timeline.host_us, unit="us"),
            ],
        )
    if floors.floor_us and floors.limiter and total <= NEAR_FLOOR * floors.floor_us:
        memory = floors.limiter == "memory"
        return Diagnosis(
            bottleneck=Bottleneck.MEMORY_BANDWIDTH if memory else Bottleneck.COMPUTE,
            level="DRAM" if memory else floors.limiter,
            kernel=first.name,
            evidence=[
                MetricEvidence(metric="duration_us", value=round(total, 3), unit="us"),
                MetricEvidence(
                    metric="floor_us",
                    value=round(floors.floor_us, 3),
                    unit="us",
                    says=f"set by {floors.limiter}",
                ),
            ],
        )
    loss = tail_loss(first)
    if loss >= TAIL_LOSS:
        return Diagnosis(
            bottleneck=Bottleneck.TAIL,
            kernel=first.name,
            evidence=[
                MetricEvidence(metric="waves", value=first.waves, unit="wave"),
                MetricEvidence(metric="idle_percent", value=round(100 * loss, 1), unit="%"),
            ],
        )
    return None
