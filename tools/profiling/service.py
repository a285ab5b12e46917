"""Profiles, timelines, sanitizer runs and the calibration of one harness's device.

It chooses the workloads that matter, has the judge write their inputs, reserves the device, runs
one workload after another under a tool and keeps what was found. Where hardware counters cannot be
had the torch profiler is used instead, and the result says why and what to do.

No verdict is made here: a candidate that fails under a profiler is named as failed in its
workload's entry and nothing else.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from ..devices.calibration import calibration_folder, with_calibration
from ..devices.environment import MachineTools, find_tools
from ..devices.hardware import Hardware, identify, load_hardware
from ..devices.measurements import Microbenchmark
from ..devices.roofline import Cost, Floors, floors
from ..errors import CapabilityError, unknown_name
from ..evaluation.judge_pool import JudgePool
from ..evaluation.records.last_latencies import LastLatencies
from ..progress import OnProgress, ignore_progress
from ..schema.flashinfer_trace import Solution
from ..settings import Settings
from ..text import short_uuid
from ..workloads.operators import Operator
from ..workloads.regimes import sample_shapes
from .calibration_run import run_calibration
from .diagnosis.bottleneck import WorkFloors
from .judge_files import JudgeFiles
from .ncu.command import OF_ONE_WORKLOAD, ProfileSet, Refusal
from .ncu.session import NcuSession, Replays
from .runs.profile_store import ProfileStore, device_name
from .runs.profiles import (
    NCU,
    TORCH_PROFILER,
    UNAVAILABLE,
    Profile,
    WorkloadProfile,
    compare_profiles,
)
from .runs.run_files import Subject, WorkloadInputs
from .runs.tool_run import ProfileRunner, side_by_side
from .sanitizer.findings import SanitizerReport, SanitizerTool
from .sanitizer.session import run_tool
from .timeline.chrome_trace import Timeline, WorkloadTimeline
from .timeline.session import TimelineSession

HEAVIEST = 2
"""Workloads profiled when none is named."""
NO_GPU = (
    "There is no GPU: nothing can be profiled here. Scope 'static' shows registers, occupancy and "
    "instructions of every target."
)


@dataclass
class ProfilingService:
    """Profiles candidates of one harness on its device.

    Attributes:
        pool: the judges, which write inputs and hold the device's lock.
        latencies: last latencies, by which the workloads with most of the time are chosen.
        timeout_s: most seconds for one profiled run.
    """

    settings: Settings
    device: str
    pool: JudgePool
    latencies: LastLatencies
    find_tools: Callable[[], MachineTools] = find_tools
    timeout_s: float = 300.0
    runner: ProfileRunner = field(init=False)

    def __post_init__(self) -> None:
        self.runner = ProfileRunner(self.device, self.settings.cache_dir)

    def kill(self) -> None:
        """Kills every run at once; safe to call from a signal's handler."""
        self.runner.kill()

    async def profile_ncu(
        self,
        operator: Operator,
        solution: Solution,
        *,
        workloads: Sequence[str] = (),
        profile_set: str = ProfileSet.DETAILED,
        compare_to: Solution | None = None,
        progress: OnProgress = ignore_progress,
    ) -> Profile:
        """Profiles one call on each workload with hardware counters, or with what there is.

        Args:
            workloads: uuids or beginnings of them; those with the most latency when none is named.
            profile_set: 'basic', 'detailed' or 'full'.
            compare_to: profiled too, on the same inputs; the differences are in the result.

        Raises:
            InfrastructureError: when a run could not be started or its report not read.
        """
        if profile_set not in list(ProfileSet):
            raise unknown_name("profile set", profile_set, list(ProfileSet))
        chosen, subject = ProfileSet(profile_set), Subject(solution, operator.definition)
        uuids = await anyio.to_thread.run_sync(self._chosen, operator, workloads)
        if self.device == "cpu":
            return Profile(**_facts(subject), tool=UNAVAILABLE, reason=NO_GPU)
        with self._files(operator) as files:
            profile = await self._profile(subject, uuids, files, chosen, progress)
            if compare_to is not None:
                other = Subject(compare_to, operator.definition)
                others = await self._profile(other, uuids, files, chosen, progress)
                profile = compare_profiles(profile, others)
        self._store().keep_latest(subject.content_hash, f"{profile.tool}-{chosen.value}", profile)
        return profile

    async def profile_timeline(
        self,
        operator: Operator,
        solution: Solution,
        *,
        workloads: Sequence[str] = (),
        progress: OnProgress = ignore_progress,
    ) -> Timeline:
        """Traces one call on each workload: kernels, copies, gaps, the host's time, streams.

        Raises:
            InfrastructureError: when a run could not be started or left no readable trace.
            CapabilityError: when the candidate itself failed under the profiler.
        """
        begin, subject = time.monotonic(), Subject(solution, operator.definition)
        uuids = await anyio.to_thread.run_sync(self._chosen, operator, workloads)
        if self.device == "cpu":
            return Timeline(**_facts(subject), tool=UNAVAILABLE, reason=NO_GPU)
        store = self._store()
        session = TimelineSession(self.runner, store, self.timeout_s)
        with self._files(operator) as files:
            await self._traced(session, subject, uuids, files, progress)
            left = [uuid for uuid in uuids if session.kept(subject, uuid) is None]
            inputs = {w.uuid: w for w in await files.inputs(left, progress)}
            done = [
                await self._trace_alone(session, subject, inputs[uuid], progress)
                if (kept := session.kept(subject, uuid)) is None
                else kept.timeline
                for uuid in uuids
            ]
        timeline = Timeline(
            **_facts(subject),
            tool=TORCH_PROFILER,
            workloads=done,
            report_paths=[w.trace_path for w in done if w.trace_path],
            seconds=round(time.monotonic() - begin, 3),
        )
        store.keep_latest(subject.content_hash, "timeline", timeline)
        return timeline

    async def _traced(
        self,
        session: TimelineSession,
        subject: Subject,
        uuids: Sequence[str],
        files: JudgeFiles,
        progress: OnProgress,
    ) -> None:
        """Has the judge trace what is not kept, in a prewarmed process."""
        missing = [uuid for uuid in uuids if session.kept(subject, uuid) is None]
        if missing:
            build_s = self.settings.build_timeout_s
            traced = await files.traced(subject, missing, build_s, progress)
            ready = self.pool.ready(self.device)
            facts = ready.device if ready is not None else {}
            for workload in traced:
                sms, capability = facts.get("sm_count"), facts.get("compute_capability")
                await session.keep_traced(subject, workload, sms, capability)

    async def _trace_alone(
        self,
        session: TimelineSession,
        subject: Subject,
        workload: WorkloadInputs,
        progress: OnProgress,
    ) -> WorkloadTimeline:
        """Traces a call in a process outside the judge, which names a candidate's fault."""
        async with self.pool.reserved(self.device, progress):
            await progress(0, 1, f"tracing {short_uuid(workload.uuid)}")
            found = await session.trace(subject, workload)
        if isinstance(found, str):
            raise CapabilityError(
                f"The candidate failed under the profiler: {found}",
                where=f"workload {workload.uuid}",
                remedy="Evaluate it first; profile what has passed.",
            )
        return found.timeline

    async def sanitize(
        self, operator: Operator, solution: Solution, progress: OnProgress = ignore_progress
    ) -> SanitizerReport:
        """Runs one call on the smallest workload under each of compute-sanitizer's four tools.

        Raises:
            InfrastructureError: when a run could not be started.
        """
        begin, subject = time.monotonic(), Subject(solution, operator.definition)
        if self.device == "cpu":
            return SanitizerReport(**_facts(subject), tool=UNAVAILABLE, reason=NO_GPU)
        program = (await anyio.to_thread.run_sync(self.find_tools)).compute_sanitizer
        if program.path is None or not program.found:
            reason = f"{program.reason} {program.remedy}"
            return SanitizerReport(**_facts(subject), tool=UNAVAILABLE, reason=reason)
        smallest = min(operator.workloads, key=lambda w: sum(w.axes.values())).uuid
        async with self._prepared(operator, [smallest], progress) as (workload,):
            names = ", ".join(SanitizerTool)
            await progress(0, 1, f"{names} on {short_uuid(workload.uuid)}")
            # Side by side: most of each is its start, and nothing is timed.
            done = await side_by_side(
                run_tool(
                    self.runner, program.path, tool, subject, workload, timeout_s=self.timeout_s
                )
                for tool in SanitizerTool
            )
        report = SanitizerReport(
            **_facts(subject),
            tool="compute-sanitizer",
            tool_version=program.version,
            runs=done,
            seconds=round(time.monotonic() - begin, 3),
        )
        self._store().keep_latest(subject.content_hash, "sanitizer", report)
        return report

    async def calibrate(
        self,
        progress: OnProgress = ignore_progress,
        what: Collection[Microbenchmark] = tuple(Microbenchmark),
    ) -> Path:
        """Measures the device and keeps the figures; in under a minute, with it to itself.

        Raises:
            CapabilityError: when there is no GPU.
            InfrastructureError: when the measuring process failed.
        """
        if self.device == "cpu":
            raise CapabilityError(
                "There is no GPU to calibrate", remedy="Floors stay at data-sheet rates."
            )
        async with self.pool.reserved(self.device, progress):
            await progress(0, 1, f"measuring {self.device}")
            return await run_calibration(self.settings, self.device, self.runner, what)

    async def _profile(
        self,
        subject: Subject,
        uuids: Sequence[str],
        files: JudgeFiles,
        profile_set: ProfileSet,
        progress: OnProgress,
    ) -> Profile:
        """Profiles one solution; the torch profiler is used where Nsight Compute refuses."""
        begin, store = time.monotonic(), self._store()
        tools = await anyio.to_thread.run_sync(self.find_tools)
        ncu = NcuSession(self.runner, store, tools, profile_set, self.timeout_s)
        possible = tools.counters.found
        reason = None if possible else f"{tools.counters.reason} {tools.counters.remedy}"
        replays = Replays()
        if possible:
            replays = await self._replayed(ncu, subject, uuids, files, progress)
        if replays.refusal is not None:
            reason, possible = f"{replays.refusal.what}. {replays.refusal.remedy}", False
        found = replays.profiles
        left = [uuid for uuid in uuids if uuid not in found]
        inputs = await files.inputs(left, progress)
        if left:
            timeline = TimelineSession(self.runner, store, self.timeout_s)
            async with self.pool.reserved(self.device, progress):
                for position, workload in enumerate(inputs):
                    await progress(position, len(inputs), f"profiling {short_uuid(workload.uuid)}")
                    got = await ncu.profile(subject, workload) if possible else None
                    if isinstance(got, Refusal):
                        reason, possible = f"{got.what}. {got.remedy}", got.kind in OF_ONE_WORKLOAD
                    if isinstance(got, WorkloadProfile):
                        why = replays.reasons.get(workload.uuid)
                        found[workload.uuid] = got.model_copy(update={"not_replayed": why})
                    else:
                        found[workload.uuid] = await timeline.profile(subject, workload)
        done = [found[uuid] for uuid in uuids]
        by_ncu = any(workload.tool == NCU for workload in done)
        return Profile(
            **_facts(subject),
            tool=NCU if by_ncu else TORCH_PROFILER,
            tool_version=tools.ncu.version if by_ncu else None,
            profile_set=profile_set.value if by_ncu else None,
            reason=reason,
            workloads=done,
            report_paths=[w.report_path for w in done if w.report_path],
            seconds=round(time.monotonic() - begin, 3),
        )

    async def _replayed(
        self,
        ncu: NcuSession,
        subject: Subject,
        uuids: Sequence[str],
        files: JudgeFiles,
        progress: OnProgress,
    ) -> Replays:
        """Kept profiles, and those of recorded calls, which need no candidate under the tool."""
        kept = {uuid: got for uuid in uuids if (got := ncu.kept(subject, uuid)) is not None}
        missing = [uuid for uuid in uuids if uuid not in kept]
        if not missing:
            return Replays(kept)
        if self.settings.sealed_clock == "off":
            return Replays(kept, dict.fromkeys(missing, "the setting sealed_clock is off"))
        recordings = await files.recorded(subject, missing, self.settings.build_timeout_s, progress)
        if not recordings.workloads:
            return Replays(kept, recordings.reasons)
        async with self.pool.reserved(self.device, progress):
            await progress(0, len(missing), "profiling recorded calls")
            got = await ncu.profile_replays(subject, recordings.workloads)
        return Replays(kept | got.profiles, recordings.reasons | got.reasons, got.refusal)

    @contextmanager
    def _files(self, operator: Operator) -> Iterator[JudgeFiles]:
        with tempfile.TemporaryDirectory(prefix="kernel-harness-inputs-") as folder:
            # So that a run's own account can read what lies in it, and need not be given a copy.
            Path(folder).chmod(0o711)
            floors_of = partial(self._floors_of, operator)
            yield JudgeFiles(self.pool, self.device, operator, Path(folder), floors_of)

    @asynccontextmanager
    async def _prepared(
        self, operator: Operator, uuids: Sequence[str], progress: OnProgress
    ) -> AsyncIterator[list[WorkloadInputs]]:
        """Has the judge write the workloads' inputs, then holds the device while they are used."""
        with self._files(operator) as files:
            inputs = await files.inputs(uuids, progress)
            async with self.pool.reserved(self.device, progress):
                yield inputs

    def _floors_of(self, operator: Operator, uuid: str) -> WorkFloors:
        cost = operator.expected_cost(uuid)
        known = self._hardware()
        return work_floors(cost, floors(cost, known) if known else None)

    def _chosen(self, operator: Operator, uuids: Sequence[str]) -> list[str]:
        if uuids:
            return [operator.workload(uuid).uuid for uuid in uuids]
        sample = sample_shapes(operator, self.latencies.of_one_program(operator.name) or None)
        regimes = sorted(sample.regimes, key=lambda r: -(r.latency_share or 0))
        return [regime.representative for regime in regimes[:HEAVIEST]]

    def _hardware(self) -> Hardware | None:
        ready = self.pool.ready(self.device)
        if ready is None:
            return None
        table = load_hardware(self.settings.kernels_dir / "hardware.json")
        known = identify(ready.device["name"], ready.device.get("sm_count"), None, table)
        return known and with_calibration(known, calibration_folder(self.settings))

    def _store(self) -> ProfileStore:
        return ProfileStore(self.settings.profiles_dir, device_name(self.device))


def work_floors(cost: Cost, floors: Floors | None) -> WorkFloors:
    """The figures of the cost model for a diagnosis.

    Args:
        floors: of that cost on the device profiled on; None for a device that is not known.
    """
    known = floors is not None and not cost.may_exceed
    serial = cost.serial_steps * cost.step_us if cost.step_us else None
    return WorkFloors(
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
