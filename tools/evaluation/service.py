"""One evaluation on the server's side: precheck, plan, judge, statistics, record.

An evaluation outlives the call that began it: after `wait_s` seconds the call answers RUNNING, and
the record is found by its id. Cancelling the call that began it stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

from ..devices.gpus import alike
from ..devices.noise_floor import load_noise_floor
from ..errors import DatasetError, HarnessError, InfrastructureError, RequestError
from ..messages.judge import EvaluatePlan, JudgeReport
from ..progress import OnProgress, ignore_progress
from ..schema.evaluation import UNDECIDED, Evaluation, Executor, Status
from ..schema.recognition import Recognition
from ..settings import Settings
from ..signing.keyring import Keyring, Verification
from ..workloads.dataset_problem import syntax_faults
from ..workloads.operators import Operator
from ..workloads.regimes import ShapeSample, sample_shapes
from .floors import OPERATOR, with_floors, with_operator
from .judge_pool import JudgePool
from .judge_process import JudgeStoppedError
from .plan import EvaluationRequest, make_plan
from .precheck import infrastructure_fault, interruption, operator_fault, precheck
from .records.last_latencies import LastLatencies
from .records.record_store import RecordStore, new_evaluation_id
from .records.under_way import CarryOut, EvaluationsUnderWay, PendingEvaluation, uninterrupted
from .static_resources import explained_check

if TYPE_CHECKING:
    from .ladder.rung_times import RungTime

TRANSIENT_STATUSES = (UNDECIDED | {Status.TIMEOUT}) - {Status.COMPILED}
"""Ends that may be another one the next time: the same bytes are judged again when asked for."""
TRIAL_PATIENCE_S = 20.0
"""How long a verdict waits for its commit."""
log = logging.getLogger(__name__)
Recognise = Callable[[EvaluationRequest], Recognition]
KeepTrial = Callable[[EvaluationRequest, Evaluation], str]


@dataclass(frozen=True)
class Evaluated:
    """An evaluation, finished or RUNNING, and what the archive knew of its program.

    Attributes:
        earlier: the record was there before it was asked for.
        verification: what the record's signature is worth here; None while it is RUNNING.
        not_committed: why what was judged is in no commit; empty when it is, or need not be.
        ladder: how other programs compare, where that was asked for.
    """

    evaluation: Evaluation
    recognition: Recognition = Recognition()
    earlier: bool = False
    verification: Verification | None = None
    not_committed: str = ""
    ladder: Sequence[RungTime] = ()


class EvaluationService:
    """Evaluates on the devices of one model and keeps the records; each trial is on one of them.

    Args:
        recognise: called once for each evaluation, in a thread; must not raise.
        keep_trial: commits what was judged before the verdict is told; called in a thread. Returns
            why it could not; must not raise.
        more: devices beside the first.
    """

    def __init__(
        self,
        settings: Settings,
        pool: JudgePool,
        records: RecordStore,
        device: str,
        keys: Keyring,
        recognise: Recognise | None = None,
        keep_trial: KeepTrial | None = None,
        more: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._recognise = recognise
        self._keep_trial = keep_trial
        self._not_committed: dict[str, str] = {}
        self._keys = keys
        self.records = records
        self.device, self.devices = device, (device, *more)
        self.executor = Executor.INTERPRETER if device == "cpu" else Executor.CUDA
        self.latencies = LastLatencies(settings.evaluations_dir / "latencies")
        self._pending: dict[str, PendingEvaluation] = {}
        self._under_way = EvaluationsUnderWay(settings.evaluations_dir / "under_way")
        self._recognising: dict[str, asyncio.Task[Recognition]] = {}
        self._samples: dict[str, tuple[object, ShapeSample]] = {}

    @property
    def patience_s(self) -> float:
        """How long a call waits for a verdict where it does not say."""
        return self._settings.wait_s

    async def evaluate(
        self,
        request: EvaluationRequest,
        wait_s: float | None = None,
        progress: OnProgress = ignore_progress,
        carry_out: CarryOut | None = None,
    ) -> Evaluated:
        """Begins an evaluation and waits at most `wait_s` for it; then the status is RUNNING.

        Args:
            carry_out: has the plan carried out by the device's judge, in place of the pool's own.

        Raises:
            DatasetError: when the operator has no workload.
        """
        request.operator.require_workloads()
        if not request.force and (earlier := self.earlier(request)):
            self._begin_recognising(earlier.evaluation_id, request)
            await self._commit(request, earlier)
            return await self._evaluated(earlier, earlier=True)
        pending = PendingEvaluation(new_evaluation_id(), request, carry_out=carry_out)
        self._begin_recognising(pending.evaluation_id, request)
        pending.work = asyncio.create_task(self._judge_and_record(pending))
        self._pending[pending.evaluation_id] = pending
        try:
            self._under_way.begin(pending.running())
        except OSError:  # the record will say what is wrong with the disk
            log.warning("No note was made of %s", pending.evaluation_id, exc_info=True)
        try:
            return await self._evaluated(await self._wait(pending, wait_s, progress))
        except asyncio.CancelledError:
            pending.work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(pending.work)
            raise

    async def get(
        self,
        evaluation_id: str,
        wait_s: float | None = None,
        progress: OnProgress = ignore_progress,
    ) -> Evaluated:
        """Finds an evaluation by its id, waiting for one under way as `evaluate` does.

        Raises:
            RequestError: when no evaluation has that id.
        """
        identity = self.records.resolve(evaluation_id)
        if (pending := self._pending.get(identity)) is not None:
            return await self._evaluated(await self._wait(pending, wait_s, progress))
        noted = None if self.records.has(identity) else self._under_way.find(identity)
        if noted is not None and noted[1]:
            return await self._evaluated(noted[0])
        if noted is not None and not self.records.has(identity):
            with contextlib.suppress(RequestError):  # another reader wrote it
                self._write(self._interrupted(noted[0]))
        return await self._evaluated(self.records.get(identity))

    def _interrupted(self, noted: Evaluation) -> Evaluation:
        """The record of an evaluation whose server died before its verdict."""
        failure = interruption("Its server ended before there was a verdict.")
        fields = {"status": Status.INTERRUPTED, "stage": failure.stage, "failure": failure}
        evaluation = noted.model_copy(update={**fields, "not_timed_reason": None})
        return self._keys.signed(evaluation)

    def _write(self, evaluation: Evaluation) -> Evaluation:
        self.records.write(evaluation)
        self._under_way.end(evaluation.evaluation_id)
        return evaluation

    def _begin_recognising(self, evaluation_id: str, request: EvaluationRequest) -> None:
        if self._recognise is not None:
            work = asyncio.to_thread(self._recognised, self._recognise, evaluation_id, request)
            task = self._recognising[evaluation_id] = asyncio.create_task(work)
            task.add_done_callback(lambda _: self._recognising.pop(evaluation_id, None))

    def _recognised(
        self, recognise: Recognise, evaluation_id: str, request: EvaluationRequest
    ) -> Recognition:
        found = recognise(request)
        try:
            self.records.write_recognition(evaluation_id, found)
        except OSError:  # a verdict must not be lost to it
            log.warning("What the archive knows of %s was not kept", evaluation_id, exc_info=True)
        return found

    async def _evaluated(self, evaluation: Evaluation, *, earlier: bool = False) -> Evaluated:
        if task := self._recognising.get(evaluation.evaluation_id):
            recognition = await asyncio.shield(task)
        else:
            recognition = self.records.recognition(evaluation.evaluation_id)
        finished = evaluation.status is not Status.RUNNING
        verification = self._keys.verify_record(evaluation) if finished else None
        not_committed = self._not_committed.get(evaluation.evaluation_id, "")
        return Evaluated(evaluation, recognition, earlier, verification, not_committed)

    async def _commit(self, request: EvaluationRequest, evaluation: Evaluation) -> None:
        """Has a trial committed; a git that fails or hangs costs words, never the verdict."""
        if self._keep_trial is None or request.bounds is not None:
            return
        work = asyncio.to_thread(self._keep_trial, request, evaluation)
        done, _ = await asyncio.wait({asyncio.create_task(work)}, timeout=TRIAL_PATIENCE_S)
        said = f"git had not ended after {TRIAL_PATIENCE_S:g} s"
        for task in done:
            said = task.result()
        self._not_committed.pop(evaluation.evaluation_id, None)
        if said:
            self._not_committed[evaluation.evaluation_id] = said

    async def _wait(
        self, pending: PendingEvaluation, wait_s: float | None, progress: OnProgress
    ) -> Evaluation:
        assert pending.work is not None
        pending.listeners.append(progress)
        try:
            timeout = self.patience_s if wait_s is None else wait_s
            done, _ = await asyncio.wait({pending.work}, timeout=timeout)
            return pending.work.result() if done else pending.running()
        finally:
            with contextlib.suppress(ValueError):  # dropped when it failed
                pending.listeners.remove(progress)

    async def _judge_and_record(self, pending: PendingEvaluation) -> Evaluation:
        judged_by = pending.request.operator.judged_by()
        try:
            judged = await self._judged(pending, judged_by)
            evaluation = await self._recorded(judged, judged_by, pending.request)
            await self._commit(pending.request, evaluation)
            return evaluation
        except asyncio.CancelledError:
            failure = interruption("Its client left or cancelled it before there was a verdict.")
            cancelled = pending.failed(Status.INTERRUPTED, failure)
            with contextlib.suppress(HarnessError):  # as where its verdict was just written
                self._write(self._keys.signed(with_operator(cancelled, judged_by)))
            raise
        finally:
            self._under_way.end(pending.evaluation_id)
            self._pending.pop(pending.evaluation_id, None)

    async def _recorded(
        self, evaluation: Evaluation, judged_by: str, request: EvaluationRequest
    ) -> Evaluation:
        """The record signed and on disk; who cancels meanwhile waits until it is."""

        def signed_and_written() -> Evaluation:
            record = self._write(self._keys.signed(with_operator(evaluation, judged_by)))
            if request.bounds is None:  # no sample is drawn by the times of nobody's candidate
                with contextlib.suppress(OSError):  # the record is on disk, and is what counts
                    self.latencies.note(record)
            return record

        return await uninterrupted(signed_and_written)

    async def _judged(self, pending: PendingEvaluation, judged_by: str) -> Evaluation:
        request = pending.request
        try:
            plan = await asyncio.to_thread(self._planned, pending, judged_by)
            if isinstance(plan, Evaluation):
                return plan
            devices = request.devices_among(self.devices)
            own = partial(self._pool.evaluate, devices, client=request.caller)
            loading = asyncio.ensure_future(asyncio.to_thread(_statistics))
            report = await (pending.carry_out or own)(plan, pending.report)
            await loading
            return await asyncio.to_thread(self._summarised, report, request.operator)
        except JudgeStoppedError as error:
            return pending.failed(Status.INTERRUPTED, interruption(f"{error.what}."))
        except InfrastructureError as error:
            return pending.failed(Status.INFRASTRUCTURE_ERROR, infrastructure_fault(error))
        except DatasetError as error:
            folder, interpreted = request.operator.folder, self.executor is Executor.INTERPRETER
            others = await asyncio.to_thread(syntax_faults, folder) if folder else ()
            return pending.failed(*operator_fault(error, others, interpreted=interpreted))

    def _planned(self, pending: PendingEvaluation, judged_by: str) -> EvaluatePlan | Evaluation:
        """What the judge is to do; the record of what needs no judge to be refused."""
        request = pending.request
        fault = precheck(request.solution, request.operator.definition)
        if fault is not None:
            return pending.failed(*fault)
        sample = self._sample(request.operator, judged_by)
        return make_plan(request, pending.evaluation_id, sample, self.executor, self._settings)

    def _summarised(self, report: JudgeReport, operator: Operator) -> Evaluation:
        """The record of a judge's report, with noise levels, occupancy, floors and statistics."""
        evaluation = Evaluation.model_validate(report.evaluation)
        evidence, device = evaluation.evidence, evaluation.evidence.device
        if device is not None and device.executor is Executor.CUDA:
            levels = load_noise_floor(self._settings, device.name) or None
            evidence = evidence.model_copy(update={"noise_floor": levels})
        static = explained_check(evaluation.static)
        completed = evaluation.model_copy(update={"static": static, "evidence": evidence})
        completed = with_floors(completed, operator, self._settings)
        return _statistics().summarised(completed, evidence.noise_floor or {})

    def _sample(self, operator: Operator, judged_by: str) -> ShapeSample:
        """An operator's regimes and sample, found again when what they follow from has changed."""
        latencies = self.latencies.of_one_program(operator.name)
        made_from = operator.digest, judged_by, operator.published, latencies
        known = self._samples.get(operator.name)
        if known is None or known[0] != made_from:
            found = sample_shapes(operator, latencies or None)
            known = self._samples[operator.name] = made_from, found
        return known[1]

    def under_way(self, request: EvaluationRequest) -> str | None:
        """The id of an evaluation of the same that this server has begun and not ended."""
        digest, devices = request.solution.content_hash(), request.devices_among(self.devices)
        for identity, pending in self._pending.items():
            other = pending.request
            if (
                (other.command, other.operator.digest) == (request.command, request.operator.digest)
                and other.solution.content_hash() == digest
                and other.devices_among(self.devices) == devices
            ):
                return identity
        return None

    def earlier(self, request: EvaluationRequest) -> Evaluation | None:
        """A finished record that counts, of the same bytes, command, operator and executor."""
        judged_by = request.operator.judged_by()
        devices = request.devices_among(self.devices)
        for evaluation_id in self.records.of_content(request.solution.content_hash()):
            try:
                found = self.records.get(evaluation_id)
            except HarnessError:  # not written by a harness: it answers nothing, and ends nothing
                continue
            ran_on = found.evidence.device
            same = (
                found.evidence.command == request.command
                and found.workload_digest == request.operator.digest
                and found.evidence.versions.get(OPERATOR) == judged_by
                and (found.status not in TRANSIENT_STATUSES or _cut(request, found))
                and (ran_on is None or ran_on.executor is self.executor)
                and (ran_on is None or alike(ran_on, devices, itself=bool(request.devices)))
            )
            if same and self._keys.verify_record(found).counts:
                return found
        return None


def _cut(request: EvaluationRequest, found: Evaluation) -> bool:
    """Whether the request's bounds cut the record, which would be cut alike the next time."""
    if request.bounds is None or request.bounds.again:
        return False
    timed = any(result.latency_us for result in found.workloads)
    return found.status is Status.TIMEOUT or (found.status is Status.PARTIAL and timed)


def _statistics() -> ModuleType:
    """What makes summaries of samples, loaded while the first record is awaited."""
    from . import comparison

    return comparison
