"""Profiles, sanitizer runs and calibration by the judges of a cluster, kept as if made here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

from ..devices.measurements import Microbenchmark
from ..profiling.diagnosis.stall_samples import StallSamples
from ..profiling.ncu.command import ProfileSet
from ..profiling.runs.profile_store import ProfileStore, device_name
from ..profiling.runs.profiles import Profile
from ..profiling.runs.run_files import Subject
from ..profiling.sanitizer.findings import SanitizerReport
from ..profiling.service import ProfilingService
from ..profiling.timeline.chrome_trace import Timeline
from ..progress import OnProgress, ignore_progress
from ..schema.flashinfer_trace import Solution
from ..schema.record_model import RecordModel
from ..workloads.operators import Operator
from .messages import ProfiledOnNode, ProfileOnNode

R = TypeVar("R", bound=RecordModel)


@dataclass
class ClusterProfiling(ProfilingService):
    """Has a node of the cluster profile, whichever is free."""

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
        """Profiles with hardware counters, or with what the node has; see `ProfilingService`."""
        other = compare_to.model_dump(mode="json") if compare_to else None
        chosen = self._chosen(operator, workloads)
        more = {"workloads": chosen, "profile_set": profile_set, "compare_to": other}
        return await self._found(Profile, "ncu", operator, solution, progress, **more)

    async def profile_timeline(
        self,
        operator: Operator,
        solution: Solution,
        *,
        workloads: Sequence[str] = (),
        progress: OnProgress = ignore_progress,
    ) -> Timeline:
        """Traces one call on each workload; see `ProfilingService`."""
        chosen = self._chosen(operator, workloads)
        return await self._found(
            Timeline, "timeline", operator, solution, progress, workloads=chosen
        )

    async def sanitize(
        self, operator: Operator, solution: Solution, progress: OnProgress = ignore_progress
    ) -> SanitizerReport:
        """Runs one call under compute-sanitizer; see `ProfilingService`."""
        return await self._found(SanitizerReport, "sanitizer", operator, solution, progress)

    async def calibrate(
        self,
        progress: OnProgress = ignore_progress,
        what: Collection[Microbenchmark] = tuple(Microbenchmark),
    ) -> Path:
        """Measures a device of the cluster and keeps the figures here, under its model's name."""
        request = ProfileOnNode(
            request_id=uuid4().hex,
            tool="calibration",
            folder=str(self.settings.archive_dir),
            benchmarks=[str(one) for one in what],
        )
        answer = await self._asked(request, progress)
        return Path(answer.record["path"])

    async def _found(
        self,
        kind: type[R],
        tool: Literal["ncu", "timeline", "sanitizer"],
        operator: Operator,
        solution: Solution,
        progress: OnProgress,
        **more: Any,
    ) -> R:
        request = ProfileOnNode(
            request_id=uuid4().hex,
            tool=tool,
            folder=str(self.settings.archive_dir),
            **operator.for_judge,
            solution=solution.model_dump(mode="json"),
            build_timeout_s=self.settings.build_timeout_s,
            sealed_clock=self.settings.sealed_clock,
            **more,
        )
        answer = await self._asked(request, progress)
        store = ProfileStore(self.settings.profiles_dir, device_name(self.device))
        for samples in answer.samples:
            subject = Subject(solution, operator.definition)
            store.keep_samples(subject, StallSamples.model_validate(samples))
        return kind.model_validate(answer.record)

    async def _asked(self, request: ProfileOnNode, progress: OnProgress) -> ProfiledOnNode:
        pool: Any = self.pool
        return await pool.ask(self.device, request, ProfiledOnNode, progress)
