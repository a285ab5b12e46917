"""Reads the timeline of one call from a Chrome trace: kernels, copies, gaps, streams, host time.

The trace is as the torch profiler writes it (CUPTI activities beside host annotations).
The profiled call is the one inside the annotation `CALL_MARK`; everything before it is warm-up.
Pure, and wary: the trace was written by the process that ran the candidate.

Host times under a profiler are inflated by it; whether a call is launch-bound is therefore decided
with the host's time of unprofiled calls where there is one. Device times are CUPTI's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from ...devices.hardware import architecture_of
from ...devices.occupancy import theoretical_occupancy
from ...errors import InfrastructureError
from ...messages.profiler import CALL_MARK, TRACE_BYTES
from ...schema.record_model import FiniteFloat, RecordModel
from ..diagnosis.kernel_profile import NAME_CHARACTERS, KernelProfile

MOST_EVENTS = 200
MOST_GAPS = 5
GAP_SHARE = 0.25
"""Idle share of the device's span from which the host is said to hold it up."""
HOST_RATIO = 1.5
_KINDS = {"kernel": "kernel", "gpu_memcpy": "copy", "gpu_memset": "memset"}
_RUNTIME = frozenset({"cuda_runtime", "cuda_driver"})


class TimelineEvent(RecordModel):
    """One kernel, copy or memset."""

    name: str
    kind: str = Field(description="'kernel', 'copy' or 'memset'.")
    start_us: float = Field(description="From the beginning of the call on the host.")
    duration_us: float
    stream: int = 0
    grid: list[int] = Field(default_factory=list)
    block: list[int] = Field(default_factory=list)
    registers: int | None = None
    shared_bytes: int | None = None


class Gap(RecordModel):
    """A time in which no stream had work, inside the call's span on the device."""

    after: str
    before: str
    duration_us: float


class StreamUse(RecordModel):
    """Events and busy time of one stream."""

    stream: int
    events: int
    busy_us: float


class WorkloadTimeline(RecordModel):
    """One call on one workload."""

    uuid: str
    axes: dict[str, int] = Field(default_factory=dict)
    events: list[TimelineEvent] = Field(default_factory=list)
    dropped_events: int = 0
    kernels: int = 0
    copies: int = 0
    busy_us: float = Field(default=0.0, description="Time in which the device had work.")
    span_us: float = Field(default=0.0, description="First start to last end on the device.")
    gap_us: float = 0.0
    gaps: list[Gap] = Field(default_factory=list)
    host_before_first_us: FiniteFloat = Field(
        default=None, description="Beginning of the call to the first start, under the profiler."
    )
    host_us: FiniteFloat = Field(
        default=None, description="Median time from call to return, unprofiled where measured."
    )
    host_calls: dict[str, int] = Field(
        default_factory=dict, description="CUDA calls inside the call, by name."
    )
    streams: list[StreamUse] = Field(default_factory=list)
    launch_bound: bool = False
    why: str = ""
    trace_path: str | None = None


class Timeline(RecordModel):
    """Timelines of one solution."""

    solution_name: str
    content_hash: str
    definition: str
    tool: str = Field(description="'torch_profiler' or 'unavailable'.")
    tool_version: str | None = None
    reason: str | None = None
    workloads: list[WorkloadTimeline] = Field(default_factory=list)
    report_paths: list[str] = Field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class _Trace:
    """The parts of a trace that matter; times in microseconds."""

    begin: float
    end: float
    events: Sequence[TimelineEvent]
    host_calls: Mapping[str, int]


def read_timeline(
    text: str, *, uuid: str, axes: Mapping[str, int], host_us: Sequence[float] = ()
) -> WorkloadTimeline:
    """Reads the profiled call out of a Chrome trace.

    Args:
        host_us: unprofiled times from call to return, microseconds.

    Raises:
        InfrastructureError: when the text is no trace or holds no marked call.
    """
    trace = _parse(text)
    events = sorted(trace.events, key=lambda event: event.start_us)
    merged = _merged(events)
    busy = sum(end - start for start, end in merged)
    span = merged[-1][1] - merged[0][0] if merged else 0.0
    measured = sorted(value for value in host_us if 0 <= value < 1e9)
    host = measured[len(measured) // 2] if measured else trace.end - trace.begin
    bound, why = _launch_bound(events, busy, span, host)
    return WorkloadTimeline(
        uuid=uuid,
        axes=dict(axes),
        events=events[:MOST_EVENTS],
        dropped_events=max(0, len(events) - MOST_EVENTS),
        kernels=sum(event.kind == "kernel" for event in events),
        copies=sum(event.kind == "copy" for event in events),
        busy_us=round(busy, 3),
        span_us=round(span, 3),
        gap_us=round(span - busy, 3),
        gaps=_gaps(events),
        host_before_first_us=round(events[0].start_us, 3) if events else None,
        host_us=round(host, 3),
        host_calls=dict(trace.host_calls),
        streams=_streams(events),
        launch_bound=bound,
        why=why,
    )


def kernel_profiles_of(
    timeline: WorkloadTimeline, *, sm_count: int | None, compute_capability: str | None
) -> list[KernelProfile]:
    """Profiles without counters: what a timeline knows of each kernel, longest first.

    Occupancy and waves follow from registers, shared memory and the architecture's limits.
    """
    groups: dict[str, list[TimelineEvent]] = defaultdict(list)
    for event in timeline.events:
        if event.kind == "kernel":
            groups[event.name].append(event)
    total = sum(event.duration_us for events in groups.values() for event in events)
    profiles = []
    for name, events in groups.items():
        longest = max(events, key=lambda event: event.duration_us)
        duration = sum(event.duration_us for event in events)
        profiles.append(
            KernelProfile(
                name=name,
                launches=len(events),
                share=duration / total if total else 1 / len(groups),
                duration_us=duration,
                grid=longest.grid,
                block=longest.block,
                sm_count=sm_count,
                registers=longest.registers,
                shared_bytes=longest.shared_bytes,
                **_residency(longest, sm_count, compute_capability),
            )
        )
    return sorted(profiles, key=lambda p: p.duration_us or 0.0, reverse=True)


def _residency(
    event: TimelineEvent, sm_count: int | None, compute_capability: str | None
) -> dict[str, Any]:
    architecture = architecture_of(compute_capability) if compute_capability else None
    if architecture is None or not event.block or event.registers is None:
        return {}
    occupancy = theoretical_occupancy(
        architecture,
        threads=_product(event.block),
        registers=event.registers,
        shared_bytes=event.shared_bytes or 0,
    )
    facts: dict[str, Any] = {
        "occupancy_theoretical_percent": 100 * occupancy.fraction,
        "occupancy_limit": occupancy.limit,
    }
    if sm_count and occupancy.blocks and event.grid:
        facts["waves"] = _product(event.grid) / (sm_count * occupancy.blocks)
    return facts


def _product(extents: Iterable[int]) -> int:
    result = 1
    for extent in extents:
        result *= max(extent, 1)
    return result


def _parse(text: str) -> _Trace:
    if len(text) > TRACE_BYTES:
        raise InfrastructureError(
            f"The trace of {len(text)} characters is longer than {TRACE_BYTES}",
            remedy="Profile a workload with fewer launches.",
        )
    try:
        document = json.loads(text)
        rows = document["traceEvents"] if isinstance(document, dict) else document
        rows = [row for row in rows if isinstance(row, dict) and row.get("ph") == "X"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InfrastructureError(f"The profiler wrote no readable trace: {error}") from error
    marks = [row for row in rows if row.get("name") == CALL_MARK and _is_host(row)]
    if not marks:
        raise InfrastructureError("The trace holds no marked call")
    begin = _number(marks[-1].get("ts"))
    end = begin + _number(marks[-1].get("dur"))
    events = [_event(row, begin) for row in rows if row.get("cat") in _KINDS]
    calls: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.get("cat") in _RUNTIME and begin <= _number(row.get("ts")) <= end:
            calls[str(row.get("name"))[:80]] += 1
    return _Trace(begin, end, [event for event in events if event.start_us >= 0], calls)


def _is_host(row: Mapping[str, Any]) -> bool:
    return row.get("cat") in ("user_annotation", "cpu_op")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e18 else 0.0


def _event(row: Mapping[str, Any], begin: float) -> TimelineEvent:
    details = row.get("args")
    details = details if isinstance(details, dict) else {}
    return TimelineEvent(
        name=str(row.get("name"))[:NAME_CHARACTERS],
        kind=_KINDS[str(row.get("cat"))],
        start_us=round(_number(row.get("ts")) - begin, 3),
        duration_us=round(max(_number(row.get("dur")), 0.0), 3),
        stream=int(_number(details.get("stream", row.get("tid")))),
        grid=_extent(details.get("grid")),
        block=_extent(details.get("block")),
        registers=_whole(details.get("registers per thread")),
        shared_bytes=_whole(details.get("shared memory")),
    )


def _extent(value: Any) -> list[int]:
    if not isinstance(value, list) or len(value) > 3:
        return []
    return [int(part) for part in value if isinstance(part, int)]


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _merged(events: Sequence[TimelineEvent]) -> list[tuple[float, float]]:
    """The union of the events' times, over all streams."""
    merged: list[tuple[float, float]] = []
    for event in events:
        start, end = event.start_us, event.start_us + event.duration_us
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _gaps(events: Sequence[TimelineEvent]) -> list[Gap]:
    """The longest times in which no stream had work."""
    found: list[Gap] = []
    last: TimelineEvent | None = None
    for event in events:
        if last is not None:
            idle = event.start_us - (last.start_us + last.duration_us)
            if idle > 0:
                found.append(Gap(after=last.name, before=event.name, duration_us=round(idle, 3)))
        if last is None or event.start_us + event.duration_us > last.start_us + last.duration_us:
            last = event
    found.sort(key=lambda gap: gap.duration_us, reverse=True)
    return found[:MOST_GAPS]


def _streams(events: Sequence[TimelineEvent]) -> list[StreamUse]:
    groups: dict[int, list[TimelineEvent]] = defaultdict(list)
    for event in events:
        groups[event.stream].append(event)
    return [
        StreamUse(
            stream=stream,
            events=len(group),
            busy_us=round(sum(end - start for start, end in _merged(group)), 3),
        )
        for stream, group in sorted(groups.items())
    ]


def _launch_bound(
    events: Sequence[TimelineEvent], busy: float, span: float, host: float
) -> tuple[bool, str]:
    if not events:
        return False, "Nothing ran on the device."
    gap = span - busy
    if len(events) > 1 and gap >= GAP_SHARE * span:
        return True, (
            f"The device was idle for {gap:.1f} of {span:.1f} us between the first start and the "
            "last end: it waited for the host."
        )
    if host >= HOST_RATIO * span:
        return True, (
            f"The host takes {host:.1f} us to issue a call that keeps the device busy for "
            f"{busy:.1f} us."
        )
    return False, f"The device was busy for {busy:.1f} of {span:.1f} us; the host took {host:.1f}."
