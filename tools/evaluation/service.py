"""The flow of one trial on the server's side: precheck, plan, judge, statistics, record.

A trial lives longer than the call that began it: when the caller's patience ends, the work goes on
and its record is found by id. Cancelling the call that began it stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..devices.noise_floor import load_noise_floor
from ..errors import HarnessError, InfrastructureError
from ..messages.judge import Checks
from ..progress import OnProgress
from ..schema.evaluation import (
    Evaluation,
    Evidence,
    Executor,
    Failure,
    Scope,
    Stage,
    StaticCheck,
    Status,
    Totals,
)
from ..schema.flashinfer_trace import Solution
from ..settings import Settings
from ..workloads.operators import Operator
from ..workloads.regimes import ShapeSample, sample_shapes
from .judge_pool import JudgePool
from .plan import PlanRequest, make_plan
from .precheck import precheck
from .record_store import LastLatencies, RecordStore, new_evaluation_id

OPERATOR = "operator"
"""Among the versions of a record: the digest of what judged it."""
OF_THE_HOUR = (Status.INFRASTRUCTURE_ERROR, Status.TIMEOUT)
"""Ends that a busy machine may have caused: the same bytes are judged again when asked for."""


@dataclass(frozen=True)
class EvaluateRequest:
    """What to evaluate, how far, and against what.

    Attributes:
        replay: an earlier record of these sources whose seeds are used again before new ones.
    """

    operator: Operator
    solution: Solution
    scope: Scope
    baseline: Solution | None = None
    targets: Sequence[str] = ()
    force: bool = False
    checks: Checks | None = None
    only: Sequence[str] = ()
    budget_s: float | None = None
    replay: Evaluation | None = None

    @property
    def command(self) -> str:
        """The call in words: part of the evidence, and what makes two trials the same trial."""
        base = self.baseline
        parts = {
            "scope": self.scope.value,
            "compare_to": f"{base.name}@{base.content_hash()[:12]}" if base else None,
            "targets": ",".join(self.targets),
            "workloads": ",".join(sorted(self.only)),
            "checks": self.checks.model_dump_json() if self.checks else None,
            "replay": self.replay.evaluation_id if self.replay else None,
        }
        return " ".join(["evaluate_kernel", *(f"{k}={v}" for k, v in parts.items() if v)])


@dataclass
class PendingEvaluation:
    """A trial under way: its future record and what is known so far."""

    evaluation_id: str
    request: EvaluateRequest
    started_at: str
    started: float = field(default_factory=time.monotonic)
    work: asyncio.Task[Evaluation] | None = None
    done: float = 0.0
    total: float = 1.0
    message: str = "queued"
    told: float = 0.0
    listeners: list[OnProgress] = field(default_factory=list)

    async def progress(self, done: float, total: float, message: str) -> None:
        """Notes a step and tells whoever waits."""
        self.done, self.total, self.message = max(done, self.done), total, message
        await self.tell(message)

    async def tell(self, message: str) -> None:
        """Tells whoever waits; a listener that fails is dropped."""
        self.told = time.monotonic()
        for listener in list(self.listeners):
            try:
                await listener(self.done, self.total, message)
            except Exception:  # the client has gone; the trial has not
                self.listeners.remove(listener)


class EvaluationService:
    """Runs trials and keeps their records.

    Args:
        settings: budgets and time-outs.
        pool: the judges.
        records: where evaluations are kept.
        explain: adds occupancy and instruction classes to what compiling for targets gave.
        bound: adds the floors of the device measured on.
    """

    def __init__(
        self,
        settings: Settings,
        pool: JudgePool,
        records: RecordStore,
        explain: Callable[[StaticCheck | None], StaticCheck | None] = lambda check: check,
        bound: Callable[[Evaluation, Operator], Evaluation] = lambda evaluation, operator: (
            evaluation
        ),
    ) -> None:
        self._settings = settings
        self._explain = explain
        self._bound = bound
        self._pool = pool
        self.records = records
        self.latencies = LastLatencies(settings.evaluations_dir / "latencies")
        self._trials: dict[str, PendingEvaluation] = {}

    async def evaluate(
        self, request: EvaluateRequest, device: str, wait_s: float, progress: OnProgress | None
    ) -> Evaluation:
        """Begins a trial and waits for it, at most `wait_s` seconds.

        Returns:
            The record, or one with status RUNNING when it is not finished in time.
        """
        if not request.force and (earlier := self._earlier(request, device)):
            return earlier
        trial = PendingEvaluation(new_evaluation_id(), request, datetime.now(UTC).isoformat())
        trial.work = asyncio.create_task(self._run(trial, device))
        self._trials[trial.evaluation_id] = trial
        try:
            return await self._wait(trial, wait_s, progress)
        except asyncio.CancelledError:
            trial.work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(trial.work)
            raise

    async def get(
        self, evaluation_id: str, wait_s: float, progress: OnProgress | None
    ) -> Evaluation:
        """The record of a trial, waiting at most `wait_s` seconds for one under way.

        Raises:
            RequestError: when no trial has that id.
        """
        identity = self.records.resolve(evaluation_id)
        trial = self._trials.get(identity)
        if trial is not None and trial.work is not None:
            return await self._wait(trial, wait_s, progress)
        return self.records.get(identity)

    async def _wait(
        self, trial: PendingEvaluation, wait_s: float, progress: OnProgress | None
    ) -> Evaluation:
        assert trial.work is not None
        if progress is not None:
            trial.listeners.append(progress)
        beat = asyncio.create_task(_heartbeat(trial)) if progress else None
        try:
            done, _ = await asyncio.wait({trial.work}, timeout=wait_s)
            return trial.work.result() if done else _running(trial)
        finally:
            if beat is not None:
                beat.cancel()
            if progress in trial.listeners and progress is not None:
                trial.listeners.remove(progress)

    async def _run(self, trial: PendingEvaluation, device: str) -> Evaluation:
        judged_by = trial.request.operator.judged_by()
        try:
            evaluation = _with_operator(await self._judged(trial, device), judged_by)
            self.records.write(evaluation)
            self.latencies.note(evaluation)
            return evaluation
        finally:
            self._trials.pop(trial.evaluation_id, None)

    async def _judged(self, trial: PendingEvaluation, device: str) -> Evaluation:
        request = trial.request
        fault = precheck(request.solution, request.operator.definition)
        if fault is not None:
            return _ended(trial, fault[0], fault[1])
        executor = Executor.INTERPRETER if device == "cpu" else Executor.CUDA
        try:
            plan = make_plan(self._plan_request(trial, executor))
            report = await self._pool.evaluate(device, plan, trial.progress)
            evaluation = Evaluation.model_validate(report.evaluation)
            evaluation = self._completed(evaluation, request.operator)
        except InfrastructureError as error:
            return _ended(trial, Status.INFRASTRUCTURE_ERROR, _fault(error))
        # Statistics need numpy and scipy, which a server that has judged nothing need not load.
        from .comparison import summarised

        floors = evaluation.evidence.noise_floor or {}
        return await asyncio.to_thread(summarised, evaluation, floors)

    def _completed(self, evaluation: Evaluation, operator: Operator) -> Evaluation:
        """The judge's record with what only this side knows."""
        evidence, device = evaluation.evidence, evaluation.evidence.device
        if device is not None and device.executor is Executor.CUDA:
            floors = load_noise_floor(self._settings, device.name) or None
            evidence = evidence.model_copy(update={"noise_floor": floors})
        completed = evaluation.model_copy(
            update={"static": self._explain(evaluation.static), "evidence": evidence}
        )
        return self._bound(completed, operator)

    def _plan_request(self, trial: PendingEvaluation, executor: Executor) -> PlanRequest:
        request, settings = trial.request, self._settings
        on_cpu = executor is Executor.INTERPRETER
        return PlanRequest(
            evaluation_id=trial.evaluation_id,
            operator=request.operator,
            solution=request.solution,
            scope=request.scope,
            sample=self._sample(request),
            executor=executor,
            baseline=request.baseline,
            targets=request.targets or settings.targets,
            static_targets=settings.static_targets,
            budget_s=request.budget_s
            or (settings.cpu_budget_s if on_cpu else settings.gpu_budget_s),
            build_timeout_s=settings.build_timeout_s,
            call_timeout_s=settings.call_timeout_s,
            hardware_file=str(settings.kernels_dir / "hardware.json"),
            command=request.command,
            checks=request.checks,
            only=request.only,
            replay=request.replay,
        )

    def _sample(self, request: EvaluateRequest) -> ShapeSample:
        operator = request.operator
        return sample_shapes(operator, self.latencies.get(operator.definition.name) or None)

    def _earlier(self, request: EvaluateRequest, device: str) -> Evaluation | None:
        """A finished trial of the same bytes, command and operator, on the same kind of device."""
        executor = Executor.INTERPRETER if device == "cpu" else Executor.CUDA
        judged_by = request.operator.judged_by()
        for evaluation_id in self.records.of_content(request.solution.content_hash()):
            found = self.records.get(evaluation_id)
            ran_on = found.evidence.device
            same = (
                found.evidence.command == request.command
                and found.workload_digest == request.operator.digest
                and found.evidence.versions.get(OPERATOR) == judged_by
                and found.status not in OF_THE_HOUR
                and (ran_on is None or ran_on.executor is executor)
            )
            if same:
                return found
        return None


async def _heartbeat(trial: PendingEvaluation) -> None:
    """Repeats the last step after two silent seconds, so that no client takes silence for death."""
    while True:
        await asyncio.sleep(0.5)
        if time.monotonic() - trial.told < 1.9:
            continue
        seconds = time.monotonic() - trial.started
        # MCP wants progress to increase; a thousandth per beat says 'alive' and no more.
        trial.done = min(trial.done + 0.001, trial.total)
        await trial.tell(f"{trial.message} ({seconds:.0f} s)")


def _with_operator(evaluation: Evaluation, judged_by: str) -> Evaluation:
    """The record with the state of the operator that decided it."""
    versions = {**evaluation.evidence.versions, OPERATOR: judged_by}
    evidence = evaluation.evidence.model_copy(update={"versions": versions})
    return evaluation.model_copy(update={"evidence": evidence})


def _fault(error: HarnessError) -> Failure:
    return Failure(
        stage=Stage.REQUEST,
        kind="infrastructure",
        message=error.what,
        remedy=error.remedy or "Evaluate again; this was not the candidate's fault.",
        excerpt=error.where or None,
    )


def _ended(trial: PendingEvaluation, status: Status, failure: Failure) -> Evaluation:
    request = trial.request
    return Evaluation(
        evaluation_id=trial.evaluation_id,
        definition=request.operator.definition.name,
        solution_name=request.solution.name,
        language=request.solution.spec.language.value,
        content_hash=request.solution.content_hash(),
        workload_digest=request.operator.digest,
        scope=request.scope,
        status=status,
        stage=failure.stage,
        failure=failure,
        totals=Totals(),
        evidence=Evidence(
            started_at=trial.started_at,
            seconds={"total": time.monotonic() - trial.started},
            command=request.command,
        ),
    )


def _running(trial: PendingEvaluation) -> Evaluation:
    request = trial.request
    return Evaluation(
        evaluation_id=trial.evaluation_id,
        definition=request.operator.definition.name,
        solution_name=request.solution.name,
        language=request.solution.spec.language.value,
        content_hash=request.solution.content_hash(),
        workload_digest=request.operator.digest,
        scope=request.scope,
        status=Status.RUNNING,
        stage=Stage.CORRECTNESS,
        evidence=Evidence(
            started_at=trial.started_at,
            seconds={"so_far": time.monotonic() - trial.started},
            command=request.command,
        ),
        not_timed_reason=f"{trial.message} ({trial.done:g} of {trial.total:g})",
    )
