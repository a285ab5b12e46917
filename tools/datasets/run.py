"""Runs the solutions of a folder on its definitions, on one or several devices, and adds traces.

What was judged before under the same conditions is answered from its record, so that a run that was
killed goes on where it was. The definition's reference is timed once for each definition; a trace
has its latency where both ran on a device of the same name. One job that cannot be judged ends no
other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..archive.export.reference_times import ReferenceKind, ReferenceTimes
from ..archive.export.trace_lines import TraceLines
from ..errors import HarnessError
from ..evaluation.plan import CHECKS, EvaluationRequest
from ..evaluation.service import Evaluated
from ..progress import OnProgress, ignore_progress
from ..schema.evaluation import UNDECIDED, Evaluation, Executor, Scope, Status
from ..schema.flashinfer_trace import Solution, Trace
from ..workloads.operators import Operator
from .evaluation_config import EvaluationChoices, EvaluationConfig
from .jobs import Job, JobQueue
from .trace_writer import TraceWriter

TIMES_ALONE = {
    **dict.fromkeys(("held_out", "sizes", "timed_held_out", "families", "sustained_passes"), 0),
    **{"determinism_runs": 0, "ghost_replay": False, "sanitizer": False, "trials": 1},
}
"""Of the checks of the reference: it is right by definition."""
WAIT_S = 3600.0
"""Of one wait for an evaluation; it is waited for until it ends."""


class Evaluates(Protocol):
    """What a run needs of a device's evaluations."""

    @property
    def executor(self) -> Executor:
        """What runs candidates on the device."""
        ...

    async def evaluate(
        self,
        request: EvaluationRequest,
        wait_s: float | None = None,
        progress: OnProgress = ignore_progress,
    ) -> Evaluated:
        """Begins an evaluation and waits for it."""
        ...

    async def get(
        self,
        evaluation_id: str,
        wait_s: float | None = None,
        progress: OnProgress = ignore_progress,
    ) -> Evaluated:
        """Finds an evaluation by its id, and waits for it."""
        ...


@dataclass(frozen=True)
class RunOptions:
    """How a run goes.

    Args:
        resume: leave out solutions that the dataset's traces cover on every workload.
        force: judge again what was judged before.
    """

    scope: Scope = Scope.FULL
    config: EvaluationConfig = EvaluationConfig()
    said: EvaluationChoices = EvaluationChoices()
    resume: bool = False
    force: bool = False


@dataclass(frozen=True)
class JobResult:
    """What came of one job.

    Args:
        status: None where nothing was judged; then `reason` says why.
        speedup: mean over workloads of the reference's latency over the solution's.
        earlier: whether the record was there before.
        traces: how many were added.
    """

    definition: str
    solution: str
    author: str
    device: str
    status: Status | None
    evaluation_id: str = ""
    mean_latency_us: float | None = None
    speedup: float | None = None
    reason: str = ""
    earlier: bool = False
    traces: int = 0

    @property
    def passed(self) -> bool:
        """Whether the solution is right on everything that was asked for."""
        return self.status is Status.PASSED

    @property
    def failed(self) -> bool:
        """Whether the solution is wrong."""
        return self.status is not None and self.status not in UNDECIDED | {Status.PASSED}


@dataclass
class DatasetRun:
    """Carries out the jobs of a folder.

    Args:
        devices: evaluations by the device's name.
        writer: takes the traces; None: none are kept.
        on_result: called after each job.
    """

    devices: Mapping[str, Evaluates]
    writer: TraceWriter | None
    options: RunOptions = RunOptions()
    on_result: Callable[[JobResult], None] = lambda result: None
    left_out: Counter[str] = field(default_factory=Counter[str])
    _references: dict[str, asyncio.Task[Evaluation | None]] = field(default_factory=dict)

    async def run(
        self, jobs: Sequence[Job], progress: OnProgress = ignore_progress
    ) -> list[JobResult]:
        """Evaluates every job; their results, in the order in which they ended."""
        queue, results = JobQueue(jobs), list[JobResult]()

        async def work(device: str) -> None:
            while (job := queue.next(device)) is not None:
                words = f"{job.solution.name} on {job.operator.name}"
                await progress(len(results), len(jobs), f"{len(results)} of {len(jobs)}: {words}")
                results.append(await self._result(job, device))
                self.on_result(results[-1])

        async with asyncio.TaskGroup() as group:
            for device in self.devices:
                group.create_task(work(device))
        return results

    async def _result(self, job: Job, device: str) -> JobResult:
        names = (job.operator.name, job.solution.name, job.solution.author, device)
        uuids = [workload.uuid for workload in job.operator.workloads]
        if self.options.resume and self.writer is not None and uuids:
            if self.writer.covers(job.operator.name, job.solution.name, uuids):
                return JobResult(*names, None, reason="the dataset has its traces", earlier=True)
        try:
            found = await self._evaluated(job, device)
            reference = await self._reference(job.operator, device)
        except HarnessError as error:
            return JobResult(*names, None, reason=str(error))
        record = found.evaluation
        traces = self._traces(job, record, reference)
        speedups = [
            performance.speedup_factor
            for trace in traces
            if (performance := trace.evaluation.performance if trace.evaluation else None)
            if performance.speedup_factor
        ]
        added = 0
        if self.writer is not None:
            added = self.writer.add(job.operator.definition, job.solution, traces)
        return JobResult(
            *names,
            record.status,
            record.evaluation_id,
            record.totals.mean_latency_us,
            sum(speedups) / len(speedups) if speedups else None,
            record.failure.message if record.failure else record.partial_reason or "",
            found.earlier,
            added,
        )

    async def _evaluated(self, job: Job, device: str) -> Evaluated:
        on_cpu = self.devices[device].executor is Executor.INTERPRETER
        baseline = job.operator.baseline(cpu=on_cpu)
        if baseline is not None and baseline.content_hash() == job.solution.content_hash():
            baseline = None
        request = self._request(job.operator, job.solution, device)
        return await self._waited(replace(request, baseline=baseline), device)

    async def _reference(self, operator: Operator, device: str) -> Evaluation | None:
        """The record of the definition's own code; None where it is not timed."""
        choices = self.options.config.of(operator.definition, self.options.said)
        on_cpu = self.devices[device].executor is Executor.INTERPRETER
        if self.writer is None or on_cpu or choices.profile_baseline is False:
            return None
        if operator.name not in self._references:
            work = self._reference_record(operator, device)
            self._references[operator.name] = asyncio.create_task(work)
        return await self._references[operator.name]

    async def _reference_record(self, operator: Operator, device: str) -> Evaluation | None:
        request = self._request(operator, operator.reference(), device)
        checks = (request.checks or CHECKS[request.scope]).model_copy(update=TIMES_ALONE)
        try:
            found = await self._waited(replace(request, checks=checks), device)
        except HarnessError as error:
            self.left_out[f"times of the reference of {operator.name}: {error.what}"] += 1
            return None
        return found.evaluation

    def _request(self, operator: Operator, solution: Solution, device: str) -> EvaluationRequest:
        choices = self.options.config.of(operator.definition, self.options.said)
        return EvaluationRequest(
            operator=choices.operator(operator),
            solution=solution,
            scope=self.options.scope,
            force=self.options.force,
            checks=choices.checks(self.options.scope, self.devices[device].executor),
            budget_s=choices.timeout_seconds,
        )

    async def _waited(self, request: EvaluationRequest, device: str) -> Evaluated:
        """An evaluation that has ended, however long it takes."""
        service = self.devices[device]
        found = await service.evaluate(request, WAIT_S)
        while found.evaluation.status is Status.RUNNING:
            found = await service.get(found.evaluation.evaluation_id, WAIT_S)
        return found

    def _traces(self, job: Job, record: Evaluation, reference: Evaluation | None) -> list[Trace]:
        definition, own = job.operator.definition, job.operator.reference()
        hashes = {ReferenceKind.DEFINITION: (own.content_hash(), own.name)}
        times = ReferenceTimes(hashes, slowest=False)
        if reference is not None and device_name(reference) == device_name(record):
            times.gather(reference)
        lines = TraceLines(definition, job.operator.workloads, times, self.left_out)
        lines.add(record, job.solution.name, "")
        return lines.traces()


def device_name(record: Evaluation) -> str:
    """The name of the device that a record is of; empty where it never came to one."""
    return record.evidence.device.name if record.evidence.device else ""
