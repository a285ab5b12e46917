"""Judges as seen from the server: started when first needed, queued, cancelled, restarted.

One judge per device, one trial at a time. A device is also locked by file, since two clients start
two servers. The judge's environment is an allow-list, for what a client's environment holds (keys,
tokens) must not reach a candidate through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from ..devices.gpus import nvidia_devices, seen_alone
from ..distributed.device_queue import DeviceQueue, QueueState
from ..distributed.processors import processors_of
from ..errors import DatasetError, HarnessError, InfrastructureError
from ..messages.frames import TRUSTED_FRAME_BYTES, Message, decode, encode, frame_length
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
    Shutdown,
    from_judge,
)
from ..messages.last_words import death_of_judge, last_line, said_since
from ..progress import OnProgress
from ..settings import Settings, candidate_environment

JUDGE_COMMAND = (sys.executable, "-P", "-m", "kernel_harness.tools.judge")
"""With -P: what lies in the folder that a client started the server in is not imported."""
START_TIMEOUT_S = 120.0
CANCEL_GRACE_S = 3.0
DRAIN_S = 15.0
A = TypeVar(
    "A",
    Materialised,
    CallsRecorded,
    CallsTraced,
    CallInspected,
    CodeCompiled,
    OperatorChecked,
)


class JudgeStoppedError(InfrastructureError):
    """Raised when a judge ended because this server ended it."""


class Judge:
    """One running judge process; tests pass the command of a scripted one."""

    def __init__(
        self, device: str, settings: Settings, command: Sequence[str] = JUDGE_COMMAND
    ) -> None:
        self.device = device
        self._settings = settings
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self.ready: Ready | None = None
        self.pid: int | None = None
        self._stopped = False
        self._log_bytes = 0

    @property
    def alive(self) -> bool:
        """Whether the process runs and has said that it is ready."""
        return self._process is not None and self._process.returncode is None and bool(self.ready)

    async def start(self) -> Ready:
        """Starts the process and waits until it is ready.

        Raises:
            InfrastructureError: when it does not come up; the end of its log is in the text.
        """
        logs = self._settings.archive_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._settings.cache_dir.mkdir(parents=True, exist_ok=True)
        self._log = logs / f"judge-{self.device.replace(':', '')}.log"
        device, hiding = seen_alone(self.device)
        with self._log.open("ab") as log:
            self._log_bytes = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                "--device",
                device,
                "--cache",
                str(self._settings.cache_dir),
                "--signing-key",
                str(self._settings.signing_key),
                "--log-level",
                self._settings.log_level,
                *self._processors(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=candidate_environment() | hiding,
                start_new_session=True,
                limit=1 << 20,
            )
        self.pid = self._process.pid
        try:
            message = await asyncio.wait_for(self.read(), START_TIMEOUT_S)
        except (TimeoutError, InfrastructureError) as error:
            self.kill()
            await self._process.wait()
            said = last_line(said_since(self._log, self._log_bytes))
            raise InfrastructureError(
                f"The judge for {self.device} did not start: {said or error}",
                where=str(self._log),
                remedy="Run check_environment; the log has the details.",
            ) from error
        if not isinstance(message, Ready):
            self.kill()
            raise InfrastructureError(
                f"The judge said {type(message).__name__} before it was ready"
            )
        self.ready = message
        return message

    def _processors(self) -> list[str]:
        """Words of the command that keep it off the processors of other devices' judges."""
        kind, _, number = self.device.partition(":")
        count = len(nvidia_devices()) if kind == "cuda" else 0
        found = processors_of(int(number or 0), count)
        return ["--processors", ",".join(map(str, found))] if found else []

    async def read(self) -> Message:
        """Reads the judge's next message.

        Raises:
            InfrastructureError: when it has died or speaks nonsense.
        """
        assert self._process is not None and self._process.stdout is not None
        try:
            header = await self._process.stdout.readexactly(4)
            body = await self._process.stdout.readexactly(frame_length(header, TRUSTED_FRAME_BYTES))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            if self._stopped:
                raise JudgeStoppedError(
                    f"The judge for {self.device} was ended because its client left",
                    remedy="Evaluate again.",
                ) from error
            raise await self._death() from error
        return decode(from_judge, body)

    async def _death(self) -> HarnessError:
        """Why it ended; the next request starts another."""
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), CANCEL_GRACE_S)
        self.kill()
        return death_of_judge(self.device, self._log, self._log_bytes, self._process.returncode)

    async def send(self, message: Message) -> None:
        """Writes one message to the judge."""
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._log_bytes = self._log.stat().st_size
        try:
            self._process.stdin.write(encode(message))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionError) as error:
            raise await self._death() from error

    def kill(self, *, stopped: bool = False) -> None:
        """Kills the judge's whole process group; its zygote and candidates die with it."""
        self._stopped = self._stopped or stopped
        self.ready = None
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Asks the judge to end, then makes sure."""
        self._stopped = True
        if self.alive:
            with contextlib.suppress(InfrastructureError, TimeoutError):
                await self.send(Shutdown())
                assert self._process is not None
                await asyncio.wait_for(self._process.wait(), CANCEL_GRACE_S)
        self.kill()
        if self._process is not None:
            await self._process.wait()


class JudgePool:
    """The judges of this server, one per device, started when first needed."""

    def __init__(self, settings: Settings, command: Sequence[str] = JUDGE_COMMAND) -> None:
        self._settings = settings
        self._command = command
        self._judges: dict[str, Judge] = {}
        self._queue = DeviceQueue(lambda device: self.ready(device) is not None)
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

    def queue_state(self, devices: Sequence[str]) -> QueueState:
        """How full some devices are."""
        return self._queue.state(devices)

    async def one_of(self, devices: Sequence[str]) -> str:
        """The device that what is compared stays on: the first."""
        return devices[0]

    async def evaluate(
        self, devices: Sequence[str], plan: EvaluatePlan, progress: OnProgress, client: str = ""
    ) -> JudgeReport:
        """Has one plan carried out; cancelling the caller stops the trial's processes.

        Args:
            devices: one of them judges all of it.
            client: who asks; clients take turns.

        Raises:
            InfrastructureError: when the judge died or failed; never for a candidate's fault.
            DatasetError: when the operator or its data is at fault.
        """
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
            await judge.start()
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
