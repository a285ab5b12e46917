"""Records of a profile: one workload, a whole solution, and the comparison of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from ...schema.evaluation import Isolation
from ...schema.record_model import FiniteFloat, RecordModel
from ..diagnosis.bottleneck import Diagnosis
from ..diagnosis.differences import MOST, Difference, differences
from ..diagnosis.hints import Hint
from ..diagnosis.kernel_profile import KernelProfile
from ..diagnosis.stall_samples import StallSpot

NCU = "ncu"
TORCH_PROFILER = "torch_profiler"
UNAVAILABLE = "unavailable"


class WorkloadProfile(RecordModel):
    """One call on one workload."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("stall_spots", "stall_samples")

    uuid: str
    axes: dict[str, int] = Field(default_factory=dict)
    tool: str = Field(default=NCU, description="'ncu' or 'torch_profiler'.")
    replayed: bool = Field(
        default=False,
        description="Whether recorded launches were profiled, without the candidate's host code.",
    )
    not_replayed: str | None = Field(
        default=None, description="Why the candidate itself was called under ncu."
    )
    kernels: list[KernelProfile] = Field(
        default_factory=list, description="Longest in total first; the candidate's range only."
    )
    bottleneck: Diagnosis | None = Field(
        default=None, description="None where what was collected does not tell."
    )
    hints: list[Hint] = Field(default_factory=list)
    stall_spots: list[StallSpot] = Field(
        default_factory=list, description="Instructions at which most warps waited, as sampled."
    )
    stall_samples: int = Field(default=0, description="Samples of warps in all.")
    total_us: FiniteFloat = Field(default=None, description="Device time of all kernels, profiled.")
    failure: str | None = Field(
        default=None, description="Why the candidate could not be profiled; untrusted words."
    )
    report_path: str | None = Field(default=None, description="The full report, as text.")
    isolation: Isolation | None = None
    cached: bool = False
    seconds: float = 0.0


class Profile(RecordModel):
    """Profiles of one solution on the workloads that matter."""

    solution_name: str
    content_hash: str
    definition: str
    tool: str = Field(description="'ncu', 'torch_profiler' or 'unavailable'.")
    tool_version: str | None = None
    profile_set: str | None = None
    reason: str | None = Field(default=None, description="Why not ncu, with the remedy.")
    workloads: list[WorkloadProfile] = Field(default_factory=list)
    compared_to: str | None = None
    differences: list[Difference] = Field(default_factory=list)
    report_paths: list[str] = Field(default_factory=list)
    seconds: float = 0.0


def compare_profiles(profile: Profile, other: Profile) -> Profile:
    """The profile with its differences to another one, over the workloads both have."""
    others = {workload.uuid: workload for workload in other.workloads}
    found = [
        difference
        for workload in profile.workloads
        if workload.uuid in others
        for difference in differences(
            workload.uuid, workload.kernels, others[workload.uuid].kernels
        )
    ]
    found.sort(key=lambda difference: difference.weight, reverse=True)
    return profile.model_copy(
        update={"differences": found[:MOST], "compared_to": other.solution_name}
    )


def isolation_of(granted: Sequence[str], missing: Sequence[str]) -> Isolation:
    """Isolation of the profiled process; a profiler needs it weaker than in an evaluation."""
    level = "weaker" if missing else "strong"
    return Isolation(level=level, granted=list(granted), missing=list(missing))
