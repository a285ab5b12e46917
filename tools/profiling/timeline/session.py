"""Traces one workload with the torch profiler: runs, reads the trace, keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from ...errors import InfrastructureError
from ...messages.profiler import TRACE_BYTES
from ...schema.evaluation import Isolation
from ...schema.record_model import RecordModel
from ..diagnosis.hints import hints_for
from ..diagnosis.kernel_profile import KernelProfile
from ..runs.profile_store import ProfileStore
from ..runs.profiles import TORCH_PROFILER, WorkloadProfile, isolation_of
from ..runs.run_files import Subject, TracedWorkload, WorkloadInputs
from ..runs.tool_run import ProfileRunner, RunResult
from .chrome_trace import WorkloadTimeline, kernel_profiles_of, read_timeline
from .estimated_bottleneck import diagnose_timeline

RECORD = "timeline.json"
TRACE = "trace.json"


class CallTrace(RecordModel):
    """A trace and the profiles of its kernels."""

    timeline: WorkloadTimeline
    kernels: list[KernelProfile]
    isolation: Isolation | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class TimelineSession:
    """The torch profiler on one device."""

    runner: ProfileRunner
    store: ProfileStore
    timeout_s: float

    async def trace(self, subject: Subject, workload: WorkloadInputs) -> CallTrace | str:
        """Traces one call, or takes a kept trace.

        Returns:
            The trace, or the candidate's own fault in its words.

        Raises:
            InfrastructureError: when the run left no trace though the candidate did not fail.
        """
        kept = self.kept(subject, workload.uuid)
        if kept is not None:
            return kept
        folder = self._folder(subject, workload.uuid)
        async with self.runner.run(
            subject, workload, "timeline", _alone, timeout_s=self.timeout_s
        ) as result:
            if result.failure is not None:
                return result.failure
            text = await anyio.to_thread.run_sync(lambda: _trace_text(result))
        trace = self._read(workload, result, text, folder)
        self.store.keep(folder, RECORD, trace)
        return trace

    def kept(self, subject: Subject, uuid: str) -> CallTrace | None:
        """The trace of a workload that was made before."""
        return self.store.kept(self._folder(subject, uuid), RECORD, CallTrace)

    async def keep_traced(
        self,
        subject: Subject,
        workload: TracedWorkload,
        sm_count: int | None,
        capability: str | None,
    ) -> None:
        """Keeps what the judge had traced; not a trace without the device's activities.

        Args:
            sm_count: of the device.
            capability: of the device, e.g. '9.0'.
        """
        text = await anyio.to_thread.run_sync(_text_of, workload.file)
        try:
            timeline = read_timeline(
                text, uuid=workload.uuid, axes=workload.axes, host_us=workload.host_us
            )
        except InfrastructureError:  # as a run of its own will say, if it is so again
            return
        if not timeline.events:
            return
        folder = self._folder(subject, workload.uuid)
        path = self.store.keep_text(folder, TRACE, text)
        trace = CallTrace(
            timeline=timeline.model_copy(update={"trace_path": str(path)}),
            kernels=kernel_profiles_of(timeline, sm_count=sm_count, compute_capability=capability),
            isolation=isolation_of(workload.granted, workload.missing),
        )
        self.store.keep(folder, RECORD, trace)

    async def profile(self, subject: Subject, workload: WorkloadInputs) -> WorkloadProfile:
        """A profile without counters, from a trace."""
        trace = await self.trace(subject, workload)
        if isinstance(trace, str):
            return WorkloadProfile(
                uuid=workload.uuid, axes=dict(workload.axes), tool=TORCH_PROFILER, failure=trace
            )
        kernels = trace.kernels
        diagnosis = diagnose_timeline(kernels, trace.timeline, workload.floors)
        return WorkloadProfile(
            uuid=workload.uuid,
            axes=dict(workload.axes),
            tool=TORCH_PROFILER,
            kernels=kernels,
            bottleneck=diagnosis,
            hints=hints_for(kernels[0], diagnosis, workload.floors) if diagnosis else [],
            total_us=sum(kernel.duration_us or 0.0 for kernel in kernels),
            report_path=trace.timeline.trace_path,
            isolation=trace.isolation,
            seconds=trace.seconds,
        )

    def _folder(self, subject: Subject, uuid: str) -> Path:
        return self.store.folder("timeline", subject, uuid, TORCH_PROFILER)

    def _read(
        self, workload: WorkloadInputs, result: RunResult, text: str, folder: Path
    ) -> CallTrace:
        answer, outcome = result.answer, result.outcome
        assert answer is not None
        timeline = read_timeline(
            text, uuid=workload.uuid, axes=workload.axes, host_us=answer.host_us
        )
        path = self.store.keep_text(folder, TRACE, text)
        return CallTrace(
            timeline=timeline.model_copy(update={"trace_path": str(path)}),
            kernels=kernel_profiles_of(
                timeline, sm_count=answer.sm_count, compute_capability=answer.compute_capability
            ),
            isolation=isolation_of(outcome.granted, outcome.missing) if outcome else None,
            seconds=round(result.finished.seconds, 3),
        )


def _alone(folder: Path, target: Sequence[str]) -> list[str]:
    """The command itself: the run profiles itself."""
    return list(target)


def _has_trace(result: RunResult) -> bool:
    trace = result.trace
    return trace is not None and trace.is_file() and not trace.is_symlink()


def _trace_text(result: RunResult) -> str:
    if result.answer is None or not _has_trace(result):
        finished = result.finished
        tail = " ".join(finished.output.split())[-300:]
        ended = "did not finish in time" if finished.timed_out else f"ended with {finished.status}"
        raise InfrastructureError(
            f"The profiled process {ended} and left no trace: {tail or 'it printed nothing'}",
            where="candidate.profile_run",
            remedy="Evaluate the candidate first: a fault that kills the process is named there.",
        )
    assert result.trace is not None
    return _text_of(result.trace)


def _text_of(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(TRACE_BYTES + 1)
