"""What the profiling tools answer: shapes only, as in `answers/models.py`."""

from __future__ import annotations

from pydantic import Field

from ...tools.schema.evaluation import FiniteFloat
from .models import IsolationPart
from .result import Answer, Result


class StallPart(Result):
    """Why warps waited."""

    reason: str
    share: float = Field(description="Of all warp cycles, 0 to 1.")


class MetricPart(Result):
    """One figure that led to a diagnosis."""

    metric: str
    value: FiniteFloat = None
    unit: str | None = None
    says: str | None = None


class HintPart(Result):
    """One change worth trying, most promising first."""

    change: str
    because: str
    gain_percent: FiniteFloat = Field(default=None, description="At most, of this kernel's time.")


class KernelPart(Result):
    """One kernel of one profiled call; percentages are of the hardware's peak."""

    kernel: str
    share: float = Field(description="Of the call's device time, 0 to 1.")
    duration_us: FiniteFloat = None
    launches: int = 1
    metrics: dict[str, float | str] = Field(
        default_factory=dict, description="Figure, with its unit in its name, to value."
    )
    stalls: list[StallPart] = Field(default_factory=list)


class ProfiledWorkload(Result):
    """One profiled call."""

    uuid: str
    axes: dict[str, int]
    tool: str
    total_us: FiniteFloat = None
    bottleneck: str | None = None
    level: str | None = Field(default=None, description="Where in the memory hierarchy, if it is.")
    evidence: list[MetricPart] = Field(default_factory=list)
    hints: list[HintPart] = Field(default_factory=list)
    kernels: list[KernelPart] = Field(default_factory=list)
    failure: str | None = Field(
        default=None, description="Why it could not be profiled; untrusted words."
    )


class DifferencePart(Result):
    """One figure in which two profiles differ."""

    workload_uuid: str
    kernel: str
    figure: str
    unit: str | None = None
    value: FiniteFloat = None
    other: FiniteFloat = None
    says: str


class ProfileAnswer(Answer):
    """Why a candidate is as fast as it is."""

    solution_name: str
    definition: str
    tool: str = Field(description="'ncu', 'torch_profiler' or 'unavailable'.")
    tool_version: str | None = None
    reason: str | None = Field(default=None, description="Why not ncu, with the remedy.")
    workloads: list[ProfiledWorkload] = Field(default_factory=list)
    compared_to: str | None = None
    differences: list[DifferencePart] = Field(default_factory=list)
    isolation: IsolationPart | None = None
    content_hash: str
    profile_uri: str | None = Field(default=None, description="The full reports; read_report.")


class EventPart(Result):
    """One kernel, copy or memset of a call."""

    name: str
    kind: str
    start_us: float
    duration_us: float
    stream: int | None = None


class GapPart(Result):
    """Idle time of the device between two events."""

    after: str
    before: str
    duration_us: float


class TimelineWorkload(Result):
    """One traced call."""

    uuid: str
    axes: dict[str, int]
    kernels: int
    copies: int
    span_us: float = Field(description="First start to last end on the device.")
    busy_us: float = Field(description="Time in which the device had work.")
    gap_us: float
    host_us: FiniteFloat = None
    host_before_first_us: FiniteFloat = None
    launch_bound: bool
    why: str
    events: list[EventPart] = Field(default_factory=list)
    events_shown: str | None = None
    gaps: list[GapPart] = Field(default_factory=list, description="Longest first.")
    host_calls: dict[str, int] = Field(default_factory=dict)
    streams: int | None = None


class TimelineAnswer(Answer):
    """What one call does over time."""

    solution_name: str
    definition: str
    tool: str = Field(description="'torch_profiler' or 'unavailable'.")
    reason: str | None = None
    workloads: list[TimelineWorkload] = Field(default_factory=list)
    content_hash: str
    profile_uri: str | None = None


class SanitizerFindingPart(Result):
    """One fault that a sanitizer saw."""

    tool: str
    kind: str
    message: str
    kernel: str | None = None
    file: str | None = None
    line: int | None = None
    thread: str | None = None
    count: int = 1


class SanitizerAnswer(Answer):
    """Races, bad addresses and uninitialised reads."""

    solution_name: str
    definition: str
    tool: str = Field(description="'compute-sanitizer' or 'unavailable'.")
    clean: bool
    reason: str | None = None
    runs: dict[str, str] = Field(
        default_factory=dict, description="Sanitizer to 'clean', 'findings', 'failed' or 'timeout'."
    )
    findings: list[SanitizerFindingPart] = Field(default_factory=list)
    content_hash: str
    profile_uri: str | None = None
