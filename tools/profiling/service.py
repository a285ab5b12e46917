"""Asks for profiles, timelines and sanitizer runs; falls back where a tool is missing, and says so.

Where hardware counters cannot be had the torch profiler takes over, and the result says why and
what to do. Workloads run one after another, for they share the device; whoever calls holds the
device's lock.

A candidate that fails under a profiler is told as such in its workload's entry and nothing else:
no verdict is made here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from ..devices.profilers import Capability, capability
from ..devices.roofline import Cost, Floors
from ..errors import CapabilityError
from ..settings import Settings
from .diagnosis.bottleneck import Bounds
from .ncu.command import ProfileSet, Refusal
from .ncu.session import NcuSession
from .runs.profile_store import ProfileStore, device_name
from .runs.profiles import NCU, TORCH_PROFILER, UNAVAILABLE, Profile, WorkloadProfile
from .runs.tool_run import ProfileRunner, Subject, WorkloadInputs
from .sanitizer.findings import SanitizerReport, SanitizerTool, ToolRun
from .sanitizer.session import run_tool
from .timeline.chrome_trace import Timeline, WorkloadTimeline
from .timeline.session import TimelineSession

OF_ONE_WORKLOAD = frozenset({"timeout", "nothing", "unexplained"})
"""Refusals after which the next workload is tried with counters all the same."""
OnProgress = Callable[[float, float, str], Awaitable[None]]
NO_GPU = (
    "There is no GPU: nothing can be profiled here. Scope 'static' shows registers, occupancy and "
    "instructions of every target."
)


async def _silent(done: float, total: float, message: str) -> None:
    """Tells nobody."""


@dataclass
class Profiler:
    """Profiles solutions on one device.

    Args:
        settings: where profiles are kept.
        device: 'cuda:N' or 'cpu'.
        probe: what this machine can profile with; replaced in tests.
        timeout_s: most seconds for one profiled run.
    """

    settings: Settings
    device: str
    probe: Callable[[], Capability] = capability
    timeout_s: float = 300.0
    runs: ProfileRunner = field(init=False)

    def __post_init__(self) -> None:
        self.runs = ProfileRunner(self.device, self.settings.cache_dir)

    def kill(self) -> None:
        """Kills every run at once; safe to call from a signal's handler."""
        self.runs.kill()

    async def profile_ncu(
        self,
        subject: Subject,
        workloads: Sequence[WorkloadInputs],
        *,
        profile_set: ProfileSet = ProfileSet.DETAILED,
        force: bool = False,
        progress: OnProgress = _silent,
    ) -> Profile:
        """Profiles one call on each workload with hardware counters, or with what there is.

        Args:
            subject: the solution and its definition.
            workloads: on what; inputs are files.
            profile_set: how much to collect.
            force: profile again although it is kept.
            progress: told each step.

        Raises:
            InfrastructureError: when a run could not be started or its report not read.
        """
        begin = time.monotonic()
        if self.device == "cpu":
            return Profile(**_facts(subject), tool=UNAVAILABLE, reason=NO_GPU)
        able = await anyio.to_thread.run_sync(self.probe)
        shelf = self._shelf()
        counting = NcuSession(self.runs, shelf, able, profile_set, self.timeout_s)
        tracing = TimelineSession(self.runs, shelf, self.timeout_s)
        counters = able.counters
        reason = None if counters.found else f"{counters.reason} {counters.remedy}"
        possible = counters.found
        done: list[WorkloadProfile] = []
        for position, workload in enumerate(workloads):
            await progress(position, len(workloads), f"profiling {workload.uuid[:8]}")
            found: WorkloadProfile | Refusal | None = None
            if possible:
                found = await counting.profile(subject, workload, force=force)
            if isinstance(found, Refusal):
                reason = f"{found.what}. {found.remedy}"
                possible = found.kind in OF_ONE_WORKLOAD
            if not isinstance(found, WorkloadProfile):
                found = await tracing.profile(subject, workload, force=force)
            done.append(found)
        counted = any(workload.tool == NCU for workload in done)
        return Profile(
            **_facts(subject),
            tool=NCU if counted else TORCH_PROFILER,
            tool_version=able.ncu.version if counted else None,
            profile_set=profile_set.value if counted else None,
            reason=reason,
            workloads=done,
            report_paths=[w.report_path for w in done if w.report_path],
            seconds=round(time.monotonic() - begin, 3),
        )

    async def profile_timeline(
        self,
        subject: Subject,
        workloads: Sequence[WorkloadInputs],
        *,
        force: bool = False,
        progress: OnProgress = _silent,
    ) -> Timeline:
        """Traces one call on each workload: kernels, copies, gaps, the host's time, streams.

        Args:
            subject: the solution and its definition.
            workloads: on what.
            force: trace again although it is kept.
            progress: told each step.

        Raises:
            InfrastructureError: when a run could not be started or left no readable trace.
            CapabilityError: when the candidate itself failed under the profiler.
        """
        begin = time.monotonic()
        if self.device == "cpu":
            return Timeline(**_facts(subject), tool=UNAVAILABLE, reason=NO_GPU)
        tracing = TimelineSession(self.runs, self._shelf(), self.timeout_s)
        done: list[WorkloadTimeline] = []
        for position, workload in enumerate(workloads):
            await progress(position, len(workloads), f"tracing {workload.uuid[:8]}")
            traced = await tracing.trace(subject, workload, force=force)
            if isinstance(traced, str):
                raise CapabilityError(
                    f"The candidate failed under the profiler: {traced}",
                    where=f"workload {workload.uuid}",
                    remedy="Evaluate it first; profile what has passed.",
                )
            done.append(traced.timeline)
        return Timeline(
            **_facts(subject),
            tool=TORCH_PROFILER,
            workloads=done,
            report_paths=[w.trace_path for w in done if w.trace_path],
            seconds=round(time.monotonic() - begin, 3),
        )

    async def sanitize(
        self,
        subject: Subject,
        workloads: Sequence[WorkloadInputs],
        *,
        tools: Sequence[SanitizerTool] = tuple(SanitizerTool),
        progress: OnProgress = _silent,
    ) -> SanitizerReport:
        """Runs one call on each workload under each of compute-sanitizer's tools.

        Args:
            subject: the solution and its definition.
            workloads: on what; the smallest that are valid, for every tool is slow.
            tools: which of the four.
            progress: told each step.

        Raises:
            InfrastructureError: when a run could not be started.
        """
        begin = time.monotonic()
        if self.device == "cpu":
            return SanitizerReport(**_facts(subject), tool=UNAVAILABLE, reason=NO_GPU)
        program = (await anyio.to_thread.run_sync(self.probe)).compute_sanitizer
        if program.path is None or not program.found:
            reason = f"{program.reason} {program.remedy}"
            return SanitizerReport(**_facts(subject), tool=UNAVAILABLE, reason=reason)
        done: list[ToolRun] = []
        total = len(workloads) * len(tools)
        for workload in workloads:
            for tool in tools:
                await progress(len(done), total, f"{tool.value} on {workload.uuid[:8]}")
                done.append(
                    await run_tool(
                        self.runs, program.path, tool, subject, workload, timeout_s=self.timeout_s
                    )
                )
        return SanitizerReport(
            **_facts(subject),
            tool="compute-sanitizer",
            tool_version=program.version,
            runs=done,
            seconds=round(time.monotonic() - begin, 3),
        )

    def _shelf(self) -> ProfileStore:
        return ProfileStore(self.settings.profiles_dir, device_name(self.device))


def bounds_of(cost: Cost, floors: Floors | None) -> Bounds:
    """What a diagnosis may know of the work.

    Args:
        cost: of the workload, from the operator's cost model.
        floors: of that cost on the device profiled on; None for a device that is not known.
    """
    known = floors is not None and not cost.may_exceed
    serial = cost.serial_steps * cost.step_us if cost.step_us else None
    return Bounds(
        floor_us=(floors.calibrated_us or floors.nominal_us) if floors and known else None,
        limiter=floors.limiter if floors and known else None,
        latency_floor_us=floors.latency_us if floors and known else None,
        bytes_moved=None if cost.may_exceed else cost.bytes_moved or None,
        serial_steps=round(cost.serial_steps),
        serial_us=serial,
        dependent_kernels=cost.dependent_kernels,
    )


def _facts(subject: Subject) -> dict[str, Any]:
    return {
        "solution_name": subject.solution.name,
        "content_hash": subject.content_hash,
        "definition": subject.definition.name,
    }
