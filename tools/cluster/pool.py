"""Evaluations on the judges of a cluster, in place of those of this machine.

A judge that is lost costs what it was asked, which another is asked once more; it is never the
candidate's fault. What is compared with one another stays on one judge, and is not begun elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from ..distributed.device_queue import DeviceQueue, QueueState
from ..errors import CapabilityError, InfrastructureError
from ..evaluation.judge_pool import error_of
from ..messages.frames import Message, decode
from ..messages.judge import (
    CompileCode,
    EvaluatePlan,
    InspectCall,
    JudgeAnswer,
    JudgeFault,
    JudgeReport,
    Progress,
    Ready,
    from_judge,
)
from ..progress import OnProgress
from .messages import ANSWERED, Asked, HoldJudge, ProfileOnNode, from_node, identity_of
from .nodes import NodeFacts
from .operator_files import Files, files_of, write_below

TRIES = 2
OF_RAY = "ray:"
"""Begins the name of every judge of a cluster."""
A = TypeVar("A", bound=Message)


class LostJudgeError(InfrastructureError):
    """Raised when a judge's node or process is gone."""


class LostClusterError(InfrastructureError):
    """Raised when the connection to the cluster is gone, and all of its judges with it."""


class RemoteJudge(Protocol):
    """A judge somewhere else."""

    async def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of `JudgeActor`.

        Raises:
            LostJudgeError: when the judge is gone.
            LostClusterError: when the cluster is.
            InfrastructureError: when the judge failed.
        """
        ...


@dataclass
class Members:
    """The judges of a cluster that are used, with what each said of itself.

    Attributes:
        refused: by name, why a judge is not used.
    """

    judges: dict[str, RemoteJudge]
    facts: dict[str, NodeFacts]
    ready: Ready
    refused: Mapping[str, str] = field(default_factory=dict)


class ClusterPool:
    """The judges of a cluster, found when the first is needed.

    Args:
        connect: reaches the cluster and finds them, which takes seconds.
        disconnect: leaves it.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Members]], disconnect: Callable[[], None]
    ) -> None:
        self._connect, self._disconnect = connect, disconnect
        self._members: Members | None = None
        self._connecting = asyncio.Lock()
        self._queue = DeviceQueue()
        self._lost: dict[str, str] = {}
        self._left = False

    async def members(self) -> Members:
        """The judges; the cluster is reached for it where it was not.

        Raises:
            InfrastructureError: when it cannot be, or no judge can be used.
        """
        async with self._connecting:
            members = self._members
            if self._left:
                raise LostClusterError("The cluster was left, for this server ends")
            if members is None or not members.judges:
                self._members = members = await self._connect()
                self._lost.clear()
            return members

    @property
    def lost(self) -> Mapping[str, str]:
        """By name, how a judge was lost."""
        return self._lost

    def ready(self, device: str) -> Ready | None:
        """What a judge of the cluster said of itself; None before it was reached."""
        return self._members.ready if self._members else None

    async def warm(self, device: str) -> Ready:
        """Reaches the cluster."""
        return (await self.members()).ready

    def queue_state(self, devices: Sequence[str]) -> QueueState:
        """How full the judges are."""
        return self._queue.state(tuple(self._members.judges) if self._members else ())

    async def one_of(self, devices: Sequence[str]) -> str:
        """A judge that what is compared can stay on."""
        return next(iter((await self.members()).judges))

    async def evaluate(
        self, devices: Sequence[str], plan: EvaluatePlan, progress: OnProgress, client: str = ""
    ) -> JudgeReport:
        """Has one plan carried out by one judge; by another where that one is lost.

        Args:
            devices: a judge's name, where it is to be that one.

        Raises:
            InfrastructureError: when two judges were lost, none is left, or the cluster is gone.
            DatasetError: when the operator or its data is at fault.
        """
        what = f"evaluation {plan.evaluation_id}"
        report, _ = await self._answered(devices, what, plan, JudgeReport, progress, client)
        return report

    async def ask(self, device: str, request: Asked, kind: type[A], progress: OnProgress) -> A:
        """Has one other request answered; the files of the answer come into its folder.

        Raises:
            InfrastructureError: as `evaluate` does.
        """
        answer, files = await self._answered((device,), "another use", request, kind, progress)
        if isinstance(request, InspectCall | CompileCode | ProfileOnNode):
            within = ANSWERED if isinstance(request, ProfileOnNode) else ()
            await asyncio.to_thread(write_below, Path(request.folder), files, within)
        return answer

    @contextlib.asynccontextmanager
    async def judge_of(
        self, device: str, what: str, progress: OnProgress
    ) -> AsyncIterator[RemoteSession]:
        """Holds a judge for several messages.

        Raises:
            InfrastructureError: when it is lost, or does not start.
        """
        async with self._held((device,), what, progress) as (_, judge):
            asked = HoldJudge(request_id=uuid4().hex, what=what)
            await judge.call("begin", asked.model_dump_json().encode(), None)
            try:
                session = RemoteSession(judge, asked.request_id)
                await session.begin()
                yield session
                await judge.call("release", asked.request_id)
            finally:
                await _forgotten(judge, asked.request_id)

    @contextlib.asynccontextmanager
    async def reserved(self, device: str, progress: OnProgress) -> AsyncIterator[None]:
        """Refuses: a process beside a judge needs a device of this machine."""
        raise CapabilityError(
            "Over a cluster no process of this machine has a device",
            remedy="Start a server on a machine with such a GPU, without --cluster.",
        )
        yield

    @contextlib.asynccontextmanager
    async def _held(
        self, devices: Sequence[str], what: str, progress: OnProgress, client: str = ""
    ) -> AsyncIterator[tuple[str, RemoteJudge]]:
        """Waits for one of the judges that will do, and holds it."""
        while True:
            if self._members is None:
                await progress(0, 1, "reaching the cluster and starting its judges")
            members = await self.members()
            names = _suitable(devices, members)
            async with self._queue.turn(names, what, progress, client=client) as name:
                judge = members.judges.get(name)
                if judge is None or self._members is not members:  # lost meanwhile
                    continue
                try:
                    yield name, judge
                except LostJudgeError as error:
                    members.judges.pop(name, None)
                    if self._members is members:
                        self._lost[name] = error.what
                    raise
                except LostClusterError:
                    if self._members is members:
                        self._members = None  # reached again by the next
                    raise
                return

    async def _answered(
        self,
        devices: Sequence[str],
        what: str,
        request: EvaluatePlan | Asked,
        kind: type[A],
        progress: OnProgress,
        client: str = "",
    ) -> tuple[A, Files]:
        """The answer to a request with its files; asked once more where a judge is lost."""
        folder = Path(request.operator_dir) if request.operator_dir else None
        files = await asyncio.to_thread(files_of, folder) if folder else None
        last: LostJudgeError | None = None
        for _ in range(TRIES):
            name = ""
            try:
                async with self._held(devices, what, progress, client) as (name, judge):
                    found = await _carried_out(judge, request, files, kind, progress)
                    self._queue.note_answer(name)
                    return found
            except LostJudgeError as error:
                last = error
                await progress(0, 1, f"{name} was lost; judged again elsewhere")
        assert last is not None
        raise last

    async def close(self) -> None:
        """Leaves the cluster; its judges end with the connection."""
        self.kill()

    def kill(self) -> None:
        """Leaves the cluster at once."""
        self._left = True
        self._members = None
        self._disconnect()


class RemoteSession:
    """A judge of a node that is held, as `Judge` is one of this machine."""

    def __init__(self, judge: RemoteJudge, identity: str) -> None:
        self._judge, self._identity = judge, identity
        self._said: deque[bytes] = deque()
        self._files: dict[str, Files] = {}
        self.ready: Ready | None = None

    async def begin(self) -> None:
        """Waits until the judge is held."""
        said = await self.read()
        assert isinstance(said, Ready), said
        self.ready = said

    async def send(self, message: EvaluatePlan) -> None:
        """Sends the judge a plan."""
        files = None
        if (folder := message.operator_dir) is not None:
            if folder not in self._files:
                self._files[folder] = await asyncio.to_thread(files_of, Path(folder))
            files = self._files[folder]
        await self._judge.call("send", self._identity, message.model_dump_json().encode(), files)

    async def read(self) -> JudgeAnswer:
        """The next message of the judge.

        Raises:
            InfrastructureError: when it or its node is gone.
        """
        while not self._said:
            self._said.extend(await self._judge.call("messages", self._identity))
        message = decode(from_judge, self._said.popleft())
        if isinstance(message, JudgeFault) and message.evaluation_id == self._identity:
            raise error_of(message)
        return message


async def _carried_out(
    judge: RemoteJudge,
    request: EvaluatePlan | Asked,
    files: Files | None,
    kind: type[A],
    progress: OnProgress,
) -> tuple[A, Files]:
    identity = identity_of(request)
    await judge.call("begin", request.model_dump_json().encode(), files)
    try:
        while True:
            for body in await judge.call("messages", identity):
                message = decode(from_node, body)
                if isinstance(message, Progress):
                    await progress(message.done, message.total, message.message)
                elif isinstance(message, kind):
                    asked = not isinstance(request, EvaluatePlan)
                    return message, await judge.call("files", identity) if asked else {}
                elif isinstance(message, JudgeFault):
                    raise error_of(message)
    finally:
        await _forgotten(judge, identity)


async def _forgotten(judge: RemoteJudge, identity: str) -> None:
    """Stops what a judge does for a request, and has it forgotten."""
    with contextlib.suppress(InfrastructureError):
        await asyncio.shield(judge.call("cancel", identity))


def _suitable(devices: Sequence[str], members: Members) -> tuple[str, ...]:
    """The judges that will do: those that are named, any where none is."""
    named = [device for device in devices if device.startswith(OF_RAY)]
    left = tuple(device for device in named if device in members.judges)
    if named and not left:
        raise InfrastructureError(
            f"The judge {named[0]} was lost, and what is compared stays on one",
            remedy="Begin again; this was not the candidate's fault.",
        )
    return left or tuple(members.judges)
