"""Judges as seen from the server: started when first needed, queued, cancelled, restarted.

One judge per device, one trial at a time. A device is also locked by file, since two clients start
two servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeVar

from ..distributed.device_queue import DeviceQueue, QueueState
from ..errors import DatasetError, HarnessError, InfrastructureError
from ..messages.judge import (
    CallInspected,
    CallsRecorded,
    CallsTraced,
    Cancel,
    CheckOperator,
    CodeCompiled,
    Drained,
    EvaluatePlan,
    Hurry,
    JudgeFault,
    JudgeReport,
    Materialised,
    MaterialiseInputs,
    OperatorChecked,
    ProfiledSolution,
    Progress,
    Ready,
)
from ..progress import OnProgress
from ..settings import Settings
from .judge_process import CANCEL_GRACE_S, JUDGE_COMMAND, Judge, NotStartedError

DRAIN_S = 15.0
BROKEN_S = 60.0
"""For which a device whose judge did not start is left out, where another will do."""
A = TypeVar(
    "A",
    Materialised,
    CallsRecorded,
    CallsTraced,
    CallInspected,
    CodeCompiled,
    OperatorChecked,
)


class JudgePool:
    """The judges of this server, one per device, started when first needed."""

    def __init__(self, settings: Settings, command: Sequence[str] = JUDGE_COMMAND) -> None:
        self._settings = settings
        self._command = command
        self._judges: dict[str, Judge] = {}
        self._broken: dict[str, tuple[float, str]] = {}
        self._queue = DeviceQueue(
            lambda device: self.ready(device) is not None, lambda device: device in self.lost
        )
        self._draining: set[asyncio.Task[None]] = set()

    def ready(self, device: str) -> Ready | None:
        """What the device's judge said of itself, or None while none runs."""
        judge = self._judges.get(device)
        return judge.ready if judge and judge.alive else None

    async def warm(self, device: str) -> Ready:
        """Makes sure that the device's judge runs; starting one must not disturb another's clock.

        Raises:
            InfrastructureError: when another server holds the device, or the judge does not start.
        """

        async def in_use(done: float, total: float, message: str) -> None:
            raise InfrastructureError(f"No judge was started for {device}: {message}")

        async with self.reserved(device, in_use):
            judge = await self._running(device)
            assert judge.ready is not None
            return judge.ready

    @property
    def lost(self) -> Mapping[str, str]:
        """By name, why a device's judge did not start lately."""
        since = time.monotonic() - BROKEN_S
        return {device: what for device, (at, what) in self._broken.items() if at > since}

    def queue_state(self, devices: Sequence[str]) -> QueueState:
        """How full some devices are."""
        return self._queue.state(devices)

    @contextlib.asynccontextmanager
    async def one_of(self, devices: Sequence[str]) -> AsyncIterator[str]:
        """The device that what is compared stays on: the one with the least to do."""
        with self._queue.one_of(devices) as device:
            yield device

    async def evaluate(
        self, devices: Sequence[str], plan: EvaluatePlan, progress: OnProgress, client: str = ""
    ) -> JudgeReport:
        """Has one plan carried out; cancelling the caller stops the trial's processes.

        A device whose judge does not start costs one try on another, where one will do.

        Args:
            devices: one of them judges all of it.
            client: who asks; clients take turns.

        Raises:
            InfrastructureError: when the judge died or failed; never for a candidate's fault.
            DatasetError: when the operator or its data is at fault.
        """
        try:
            return await self._carried_out(devices, plan, progress, client)
        except NotStartedError:
            if all(device in self.lost for device in devices):
                raise
            return await self._carried_out(devices, plan, progress, client)

    async def _carried_out(
        self, devices: Sequence[str], plan: EvaluatePlan, progress: OnProgress, client: str
    ) -> JudgeReport:
        async with contextlib.AsyncExitStack() as held:
            what = f"evaluation {plan.evaluation_id}"
            turn = self._queue.turn(devices, what, progress, client=client)
            device = await held.enter_async_context(turn)
            await progress(0, 1, "starting the judge" if not self.ready(device) else "judging")
            judge = await self._running(device)
            try:
                await judge.send(plan)
                report = await self._follow(judge, plan.evaluation_id, progress)
            except asyncio.CancelledError:
                await asyncio.shield(self._cancel(judge, plan.evaluation_id))
                raise
            except InfrastructureError:
                judge.kill()
                raise
            self._queue.note_answer(device)
            if report.draining:
                draining = self._drain(judge, plan.evaluation_id, held.pop_all())
                task = asyncio.create_task(draining)
                self._draining.add(task)
                task.add_done_callback(self._draining.discard)
            return report

    @contextlib.asynccontextmanager
    async def judge_of(self, device: str, what: str, progress: OnProgress) -> AsyncIterator[Judge]:
        """Holds a device with its judge; a use that is cancelled, or that a fault ends, ends it.

        Raises:
            InfrastructureError: when the judge does not start.
        """
        async with self._queue.turn((device,), what, progress):
            judge = await self._running(device)
            try:
                yield judge
            except (asyncio.CancelledError, InfrastructureError):
                judge.kill()
                raise

    async def ask(
        self,
        device: str,
        request: MaterialiseInputs | ProfiledSolution | CheckOperator,
        kind: type[A],
        progress: OnProgress,
    ) -> A:
        """Holds the device for a request other than an evaluation; its answer.

        Raises:
            InfrastructureError: when the judge died.
        """
        async with self.reserved(device, progress):
            judge = await self._running(device)
            await judge.send(request)
            while True:
                # An answer to a request whose caller was cancelled may come before.
                message = await judge.read()
                if isinstance(message, kind) and message.request_id == request.request_id:
                    return message

    async def close(self) -> None:
        """Ends every judge."""
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        await asyncio.gather(*(judge.stop() for judge in self._judges.values()))

    def kill(self) -> None:
        """Kills every judge at once; safe to call from a signal's handler."""
        for judge in self._judges.values():
            judge.kill(stopped=True)

    async def _running(self, device: str) -> Judge:
        judge = self._judges.get(device)
        if judge is None or not judge.alive:
            if judge is not None:
                judge.kill()
            judge = self._judges[device] = Judge(device, self._settings, self._command)
            try:
                await judge.start()
            except NotStartedError as error:
                self._broken[device] = (time.monotonic(), error.what)
                raise
            self._broken.pop(device, None)
        return judge

    async def _follow(self, judge: Judge, evaluation_id: str, progress: OnProgress) -> JudgeReport:
        while True:
            message = await judge.read()
            if isinstance(message, Progress) and message.evaluation_id == evaluation_id:
                await progress(message.done, message.total, message.message)
            elif isinstance(message, JudgeReport) and message.evaluation_id == evaluation_id:
                return message
            elif isinstance(message, JudgeFault) and message.evaluation_id == evaluation_id:
                raise error_of(message)

    async def _drain(
        self, judge: Judge, evaluation_id: str, held: contextlib.AsyncExitStack
    ) -> None:
        """Holds the device while the judge makes ready for its next trial; nobody waits for it."""
        async with held:
            hurrying = asyncio.create_task(self._hurry(judge, evaluation_id))
            try:
                async with asyncio.timeout(DRAIN_S):
                    while True:
                        message = await judge.read()
                        if isinstance(message, Drained) and message.evaluation_id == evaluation_id:
                            return
            except (TimeoutError, InfrastructureError):
                judge.kill()
            except asyncio.CancelledError:
                judge.kill()
                raise
            finally:
                hurrying.cancel()

    async def _hurry(self, judge: Judge, evaluation_id: str) -> None:
        """Tells the judge as soon as another use waits for its device."""
        await self._queue.demand(judge.device).wait()
        with contextlib.suppress(InfrastructureError):
            await judge.send(Hurry(evaluation_id=evaluation_id))

    async def _cancel(self, judge: Judge, evaluation_id: str) -> None:
        """Asks the judge to stop the trial; kills it when it does not answer in time."""
        try:
            async with asyncio.timeout(CANCEL_GRACE_S):
                await judge.send(Cancel(evaluation_id=evaluation_id))
                while True:
                    message = await judge.read()
                    if isinstance(message, JudgeReport | JudgeFault):
                        return
        except (TimeoutError, InfrastructureError):
            judge.kill()

    @contextlib.asynccontextmanager
    async def reserved(self, device: str, progress: OnProgress) -> AsyncIterator[None]:
        """Holds a device for a use other than an evaluation."""
        async with self._queue.turn((device,), "another use of it", progress):
            yield


def error_of(fault: JudgeFault) -> HarnessError:
    """A judge's fault as the error that it is here."""
    kind = DatasetError if fault.of_dataset else InfrastructureError
    return kind(fault.what, where=fault.where, remedy=fault.remedy)
