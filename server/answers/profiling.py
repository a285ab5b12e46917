"""Profiles, timelines and sanitizer reports in words: the limit first, then what to change.

Pure; bottlenecks and hints were decided by the profiling room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...tools.documents import profile_uri
from ...tools.text import shorten
from .profiling_models import (
    DifferencePart,
    EventPart,
    GapPart,
    HintPart,
    KernelPart,
    MetricPart,
    ProfileAnswer,
    ProfiledWorkload,
    SanitizerAnswer,
    SanitizerFindingPart,
    StallPart,
    TimelineAnswer,
    TimelineWorkload,
)
from .text import (
    Detail,
    axes_words,
    cut,
    fitted,
    isolation_part,
    lines,
    microseconds,
    number,
    showing,
    table,
)

if TYPE_CHECKING:
    from ...tools.profiling.diagnosis.kernel_profile import KernelProfile
    from ...tools.profiling.runs.profiles import Profile, WorkloadProfile
    from ...tools.profiling.sanitizer.findings import SanitizerReport
    from ...tools.profiling.timeline.chrome_trace import Timeline, WorkloadTimeline

KERNELS = {"concise": 3, "detailed": 10}
NAME_CHARACTERS = 160
OWN_FIELDS = {"name", "launches", "share", "duration_us", "stalls", "rules"}
GAPS = 5
FINDINGS = 20


def profile_answer(profile: Profile, detail: Detail) -> ProfileAnswer:
    """A profile: what limits each workload, the figures that say so, what to change."""

    def build(rows: int) -> ProfileAnswer:
        isolation = next((w.isolation for w in profile.workloads if w.isolation), None)
        return ProfileAnswer(
            summary=_profile_words(profile),
            solution_name=profile.solution_name,
            definition=profile.definition,
            tool=profile.tool,
            tool_version=profile.tool_version,
            reason=cut(profile.reason, 600),
            workloads=[_workload(w, min(rows, KERNELS[detail])) for w in profile.workloads[:8]],
            compared_to=profile.compared_to,
            differences=[
                DifferencePart(
                    workload_uuid=d.workload_uuid,
                    kernel=d.kernel[:NAME_CHARACTERS],
                    figure=d.figure,
                    unit=d.unit or None,
                    value=d.value,
                    other=d.other,
                    says=d.says,
                )
                for d in profile.differences[: 2 * rows]
            ],
            isolation=isolation_part(isolation) if isolation else None,
            content_hash=profile.content_hash,
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
    head = f"{workload.uuid[:8]} {axes_words(workload.axes)}"
    if workload.failure:
        return f"{head}: not profiled: {cut(workload.failure, 300)}"
    diagnosis = workload.bottleneck
    limit = diagnosis.bottleneck.value.replace("_", " ") if diagnosis else "not told"
    level = f" at {diagnosis.level}" if diagnosis and diagnosis.level else ""
    hint = f" Try: {workload.hints[0].change}" if workload.hints else ""
    return f"{head}: {microseconds(workload.total_us)} profiled, limited by {limit}{level}.{hint}"


def _workload(workload: WorkloadProfile, kernels: int) -> ProfiledWorkload:
    diagnosis = workload.bottleneck
    return ProfiledWorkload(
        uuid=workload.uuid,
        axes=workload.axes,
        tool=workload.tool,
        total_us=workload.total_us,
        bottleneck=diagnosis.bottleneck.value if diagnosis else None,
        level=diagnosis.level if diagnosis else None,
        evidence=[
            MetricPart(metric=e.metric, value=e.value, unit=e.unit or None, says=e.says or None)
            for e in (diagnosis.evidence if diagnosis else [])[:8]
        ],
        hints=[
            HintPart(change=h.change, because=h.because, gain_percent=h.gain_percent)
            for h in workload.hints[:5]
        ],
        kernels=[_kernel(kernel) for kernel in workload.kernels[:kernels]],
        failure=cut(workload.failure, 1_000),
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
    return KernelPart(
        kernel=kernel.name[:NAME_CHARACTERS],
        share=round(kernel.share, 4),
        duration_us=kernel.duration_us,
        launches=kernel.launches,
        metrics=metrics,
        stalls=[StallPart(reason=s.reason, share=round(s.share, 3)) for s in kernel.stalls[:4]],
    )


def timeline_answer(timeline: Timeline, detail: Detail) -> TimelineAnswer:
    """A timeline: kernels, gaps, the host's time, and whether launching is the limit."""
    most = 12 if detail == "concise" else 80

    def build(rows: int) -> TimelineAnswer:
        return TimelineAnswer(
            summary=_timeline_words(timeline),
            solution_name=timeline.solution_name,
            definition=timeline.definition,
            tool=timeline.tool,
            reason=cut(timeline.reason, 600),
            workloads=[_traced(w, rows) for w in timeline.workloads[:8]],
            content_hash=timeline.content_hash,
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
                    w.uuid[:8],
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
        *(f"{w.uuid[:8]}: {w.why}" for w in timeline.workloads[:4] if w.why),
        "Next: gaps or many kernels call for fusing, a graph or programmatic launch; one busy "
        "kernel calls for profile_ncu.",
    )


def _traced(workload: WorkloadTimeline, rows: int) -> TimelineWorkload:
    total = len(workload.events) + workload.dropped_events
    shown = workload.events[:rows]
    gaps = sorted(workload.gaps, key=lambda gap: -gap.duration_us)[:GAPS]
    return TimelineWorkload(
        uuid=workload.uuid,
        axes=workload.axes,
        kernels=workload.kernels,
        copies=workload.copies,
        span_us=workload.span_us,
        busy_us=workload.busy_us,
        gap_us=workload.gap_us,
        host_us=workload.host_us,
        host_before_first_us=workload.host_before_first_us,
        launch_bound=workload.launch_bound,
        why=workload.why,
        events=[
            EventPart(
                name=event.name[:NAME_CHARACTERS],
                kind=event.kind,
                start_us=event.start_us,
                duration_us=event.duration_us,
                stream=event.stream,
            )
            for event in shown
        ],
        events_shown=showing(len(shown), total, "the rest is in profile_uri."),
        gaps=[
            GapPart(
                after=gap.after[:NAME_CHARACTERS],
                before=gap.before[:NAME_CHARACTERS],
                duration_us=gap.duration_us,
            )
            for gap in gaps
        ],
        host_calls=dict(sorted(workload.host_calls.items(), key=lambda pair: -pair[1])[:8]),
        streams=len(workload.streams) or None,
    )


def sanitizer_answer(report: SanitizerReport) -> SanitizerAnswer:
    """What the sanitizers saw, by source line."""
    findings = [finding for run in report.runs for finding in run.findings]
    reasons = [run.reason for run in report.runs if run.reason]
    if report.tool == "unavailable":
        summary = f"Not checked: {report.reason}"
    elif report.clean:
        summary = f"Clean under {len(report.runs)} sanitizers. Next: evaluate_kernel."
    else:
        summary = lines(
            f"{len(findings)} findings. Next: mend the first; one fault often shows as many.",
            *(
                f"{f.kind} at {f.file or f.kernel or '?'}:{f.line or '?'}: {cut(f.message, 200)}"
                for f in findings[:6]
            ),
        )
    return SanitizerAnswer(
        summary=summary,
        solution_name=report.solution_name,
        definition=report.definition,
        tool=report.tool,
        clean=report.clean,
        reason=cut(report.reason or "; ".join(reasons), 600),
        runs={run.tool.value: run.status for run in report.runs},
        findings=[
            SanitizerFindingPart(
                tool=finding.tool.value,
                kind=finding.kind,
                message=shorten(finding.message, 400),
                kernel=finding.kernel,
                file=finding.file,
                line=finding.line,
                thread=finding.thread,
                count=finding.count,
            )
            for finding in findings[:FINDINGS]
        ],
        content_hash=report.content_hash,
        profile_uri=_uri(report.content_hash, bool(report.runs)),
    )
