"""Answers on profiles, timelines and sanitizer reports: the limit first, then what to change.

Pure: bottlenecks and hints come from `tools/profiling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from ....tools.documents import profile_uri
from ....tools.schema.evaluation import FiniteFloat
from ....tools.text import counted, short_uuid
from ..models import IsolationPart
from ..result import Answer, Result, first, short
from ..text import (
    Detail,
    axes_words,
    cut,
    fitted,
    lines,
    microseconds,
    number,
    showing,
    table,
)

if TYPE_CHECKING:
    from ....tools.profiling.diagnosis.kernel_profile import KernelProfile
    from ....tools.profiling.runs.profiles import Profile, WorkloadProfile
    from ....tools.profiling.sanitizer.findings import SanitizerReport
    from ....tools.profiling.timeline.chrome_trace import Timeline, WorkloadTimeline

KERNELS = {"concise": 3, "detailed": 10}
OWN_FIELDS = {"name", "launches", "share", "duration_us", "stalls", "rules"}
GAPS = 5
KernelName = Annotated[str, AfterValidator(lambda name: name[:160])]


def rounded(digits: int) -> AfterValidator:
    """Rounds a number to so many decimal places."""
    return AfterValidator(lambda value: round(value, digits))


class StallPart(Result):
    """Why warps waited."""

    reason: str
    share: Annotated[float, rounded(3)] = Field(description="Of all warp cycles, 0 to 1.")


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

    kernel: KernelName
    share: Annotated[float, rounded(4)] = Field(description="Of the call's device time, 0 to 1.")
    duration_us: FiniteFloat = None
    launches: int = 1
    metrics: dict[str, float | str] = Field(
        default_factory=dict, description="Figure, with its unit in its name, to value."
    )
    stalls: Annotated[list[StallPart], first(4)] = Field(default_factory=list)


class ProfiledWorkload(Result):
    """One profiled call."""

    uuid: str
    axes: dict[str, int]
    tool: str
    replayed: bool = Field(
        default=False, description="Recorded launches were profiled, without their host code."
    )
    not_replayed: Annotated[str | None, short(300)] = Field(
        default=None, description="Why the candidate itself was called under ncu."
    )
    total_us: FiniteFloat = None
    bottleneck: str | None = None
    level: str | None = Field(default=None, description="Where in the memory hierarchy, if it is.")
    evidence: Annotated[list[MetricPart], first(8)] = Field(default_factory=list)
    hints: Annotated[list[HintPart], first(5)] = Field(default_factory=list)
    kernels: list[KernelPart] = Field(default_factory=list)
    failure: Annotated[str | None, short(1_000)] = Field(
        default=None, description="Why it could not be profiled; untrusted words."
    )


class DifferencePart(Result):
    """One figure in which two profiles differ."""

    workload_uuid: str
    kernel: KernelName
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
    reason: Annotated[str | None, short(600)] = Field(
        default=None, description="Why not ncu, with the remedy."
    )
    workloads: list[ProfiledWorkload] = Field(default_factory=list)
    compared_to: str | None = None
    differences: list[DifferencePart] = Field(default_factory=list)
    isolation: IsolationPart | None = None
    content_hash: str | None = None
    profile_uri: str | None = Field(default=None, description="The full reports; read_report.")


class EventPart(Result):
    """One kernel, copy or memset of a call."""

    name: KernelName
    kind: str
    start_us: float
    duration_us: float
    stream: int | None = None


class GapPart(Result):
    """Idle time of the device between two events."""

    after: KernelName
    before: KernelName
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
    reason: Annotated[str | None, short(600)] = None
    workloads: list[TimelineWorkload] = Field(default_factory=list)
    content_hash: str | None = None
    profile_uri: str | None = None


class SanitizerFindingPart(Result):
    """One fault that a sanitizer saw."""

    tool: str
    kind: str
    message: Annotated[str, short(400)]
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
    reason: Annotated[str | None, short(600)] = None
    runs: dict[str, str] = Field(
        default_factory=dict, description="Sanitizer to 'clean', 'findings', 'failed' or 'timeout'."
    )
    findings: Annotated[list[SanitizerFindingPart], first(20)] = Field(default_factory=list)
    profile_uri: str | None = None


def profile_answer(profile: Profile, detail: Detail) -> ProfileAnswer:
    """A profile: what limits each workload, the figures that say so, what to change."""

    def build(rows: int) -> ProfileAnswer:
        isolation = next((w.isolation for w in profile.workloads if w.isolation), None)
        return ProfileAnswer.of(
            profile,
            summary=_profile_words(profile),
            workloads=[_workload(w, min(rows, KERNELS[detail])) for w in profile.workloads[:8]],
            differences=profile.differences[: 2 * rows],
            isolation=isolation,
            content_hash=profile.content_hash if detail == "detailed" else None,
            profile_uri=_uri(profile.content_hash, bool(profile.workloads)),
        )

    return fitted(build, 10)


def _uri(content_hash: str, kept: bool) -> str | None:
    return profile_uri(content_hash[:64]) if kept else None


def _profile_words(profile: Profile) -> str:
    if profile.tool == "unavailable" or not profile.workloads:
        return lines(
            f"No profile: {profile.reason or 'nothing was profiled'}",
            "Next: without counters, sol_percent, floors_us and the static rows of an evaluation "
            "tell most; the skill diagnose-kernel says how to read them.",
        )
    return lines(
        f"{profile.solution_name} profiled with {profile.tool}. {profile.reason or ''}".strip(),
        *(_workload_words(workload) for workload in profile.workloads[:6]),
        f"Against {profile.compared_to}:" if profile.differences else None,
        *(difference.says for difference in profile.differences[:5]),
        "Next: one hint, one hypothesis, one new workspace; the skill diagnose-kernel has a page "
        "for each bottleneck. Rank by evaluate_kernel, never by a profiled time.",
    )


def _workload_words(workload: WorkloadProfile) -> str:
    head = f"{short_uuid(workload.uuid)} {axes_words(workload.axes)}"
    if workload.failure:
        return f"{head}: not profiled: {cut(workload.failure, 300)}"
    diagnosis = workload.bottleneck
    limit = diagnosis.bottleneck.value.replace("_", " ") if diagnosis else "not told"
    level = f" at {diagnosis.level}" if diagnosis and diagnosis.level else ""
    hint = f" Try: {workload.hints[0].change}" if workload.hints else ""
    how = "replayed" if workload.replayed else "profiled"
    why = f" Not replayed: {cut(workload.not_replayed, 160)}." if workload.not_replayed else ""
    total = microseconds(workload.total_us)
    waits = _wait_words(workload)
    return f"{head}: {total} {how}, limited by {limit}{level}.{why}{waits}{hint}"


def _wait_words(workload: WorkloadProfile) -> str:
    """Where most warps waited, if that was sampled."""
    if not workload.stall_spots:
        return ""
    spots = [
        f"0x{spot.address:x} {spot.opcode} ({100 * spot.share:.0f} %, {spot.reason})"
        for spot in workload.stall_spots
    ]
    samples = counted(workload.stall_samples, "sample")
    return f" Most warps waited at {', '.join(spots)} of {samples}; show_code has each line's."


def _workload(workload: WorkloadProfile, kernels: int) -> ProfiledWorkload:
    diagnosis = workload.bottleneck
    return ProfiledWorkload.of(
        workload,
        bottleneck=diagnosis.bottleneck if diagnosis else None,
        level=diagnosis.level if diagnosis else None,
        evidence=diagnosis.evidence if diagnosis else [],
        kernels=[_kernel(kernel) for kernel in workload.kernels[:kernels]],
    )


def _kernel(kernel: KernelProfile) -> KernelPart:
    figures = kernel.model_dump(mode="json", exclude=OWN_FIELDS, exclude_none=True)
    metrics: dict[str, float | str] = {}
    for name, value in figures.items():
        if isinstance(value, list):
            if value:
                metrics[name] = "x".join(str(part) for part in value)
        elif isinstance(value, float):
            metrics[name] = float(f"{value:.5g}")
        else:
            metrics[name] = value
    return KernelPart.of(kernel, kernel=kernel.name, metrics=metrics)


def timeline_answer(timeline: Timeline, detail: Detail) -> TimelineAnswer:
    """A timeline: kernels, gaps, the host's time, and whether launching is the limit."""
    most = 12 if detail == "concise" else 80

    def build(rows: int) -> TimelineAnswer:
        return TimelineAnswer.of(
            timeline,
            summary=_timeline_words(timeline),
            workloads=[_traced(w, rows) for w in timeline.workloads[:8]],
            content_hash=timeline.content_hash if detail == "detailed" else None,
            profile_uri=_uri(timeline.content_hash, bool(timeline.workloads)),
        )

    return fitted(build, most)


def _timeline_words(timeline: Timeline) -> str:
    if not timeline.workloads:
        return f"No timeline: {timeline.reason or 'nothing was traced'}"
    return lines(
        f"{timeline.solution_name} traced with {timeline.tool}. {timeline.reason or ''}".strip(),
        table(
            ("workload", "axes", "kernels", "span µs", "busy µs", "gaps µs", "launch-bound"),
            [
                (
                    short_uuid(w.uuid),
                    axes_words(w.axes),
                    str(w.kernels),
                    number(w.span_us),
                    number(w.busy_us),
                    number(w.gap_us),
                    "yes" if w.launch_bound else "no",
                )
                for w in timeline.workloads[:8]
            ],
        ),
        *(f"{short_uuid(w.uuid)}: {w.why}" for w in timeline.workloads[:4] if w.why),
        "Next: gaps or many kernels call for fusing, a graph or programmatic launch; one busy "
        "kernel calls for profile_ncu.",
    )


def _traced(workload: WorkloadTimeline, rows: int) -> TimelineWorkload:
    total = len(workload.events) + workload.dropped_events
    shown = workload.events[:rows]
    return TimelineWorkload.of(
        workload,
        events=shown,
        events_shown=showing(len(shown), total, "the rest is in profile_uri."),
        gaps=sorted(workload.gaps, key=lambda gap: -gap.duration_us)[:GAPS],
        host_calls=dict(sorted(workload.host_calls.items(), key=lambda pair: -pair[1])[:8]),
        streams=len(workload.streams) or None,
    )


def sanitizer_answer(report: SanitizerReport) -> SanitizerAnswer:
    """Findings of the sanitizers, by source line."""
    findings = [finding for run in report.runs for finding in run.findings]
    reasons = [run.reason for run in report.runs if run.reason]
    if report.tool == "unavailable":
        summary = f"Not checked: {report.reason}"
    elif report.clean:
        summary = f"Clean under {len(report.runs)} sanitizers. Next: evaluate_kernel."
    elif not findings:
        ended = ", ".join(f"{run.tool.value} {run.status}" for run in report.runs) or "nothing ran"
        summary = lines(
            f"No findings, but not clean: {ended}.", *(cut(r, 300) for r in reasons[:3])
        )
    else:
        summary = lines(
            f"{len(findings)} findings. Next: fix the first; one fault often shows as many.",
            *(
                f"{f.kind} at {f.file or f.kernel or '?'}:{f.line or '?'}: {cut(f.message, 200)}"
                for f in findings[:6]
            ),
        )
    return SanitizerAnswer.of(
        report,
        summary=summary,
        reason=report.reason or "; ".join(reasons),
        runs={run.tool.value: run.status for run in report.runs},
        findings=findings,
        profile_uri=_uri(report.content_hash, bool(report.runs)),
    )
