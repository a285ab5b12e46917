"""Evaluations on the judges of a cluster, in place of those of this machine.

A judge that is lost costs what it was asked, which another is asked once more; it is never the
candidate's fault. What is compared with one another stays on one judge, and is not begun elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import uuid4

from ..distributed.device_queue import DeviceQueue, QueueState
from ..errors import CapabilityError, HarnessError, InfrastructureError
from ..messages.frames import Message
from ..messages.judge import CompileCode, EvaluatePlan, InspectCall, JudgeReport, Ready
from ..progress import OnProgress
from .messages import ANSWERED, Asked, HoldJudge, ProfileOnNode
from .nodes import NodeFacts
from .operator_files import Files, files_of, write_below
from .remote import (
    LostClusterError,
    LostJudgeError,
    RemoteJudge,
    RemoteSession,
    carried_out,
    forgotten,
)

TRIES = 2
LOOK_S = 60.0
"""Between two looks for devices that have no judge: of nodes that came, or whose judge was lost."""
OF_RAY = "ray:"
"""Begins the name of every judge of a cluster."""
A = TypeVar("A", bound=Message)


@dataclass
class Members:
    """The judges of a cluster that are used, with what each said of itself.

    Attributes:
        refused: by name, why a judge is not used.
    """

    judges: dict[str, RemoteJudge]
    facts: dict[str, NodeFacts]
    ready: Ready
    refused: dict[str, str] = field(default_factory=dict)


class Cluster(Protocol):
    """Where judges come from."""

    async def connect(self) -> Members:
        """Reaches the cluster and finds its judges, which takes seconds.

        Raises:
            InfrastructureError: when it cannot be reached, or no judge can be used.
        """
        ...

    async def look_again(self, members: Members) -> None:
        """Adds judges of devices that have none and are like those that are used.

        Raises:
            InfrastructureError: when the cluster does not answer.
        """
        ...

    def disconnect(self) -> None:
        """Leaves the cluster; its judges end."""
        ...


class ClusterPool:
    """The judges of a cluster, found when the first is needed, and looked for again later."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._members: Members | None = None
        self._reaching: asyncio.Task[Members] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._looked = time.monotonic()
        self._queue = DeviceQueue()
        self._lost: dict[str, str] = {}
        self._left = False

    async def members(self) -> Members:
        """The judges; the cluster is reached for it where it was not.

        Whoever stops waiting for it stops it for nobody else.

        Raises:
            InfrastructureError: when it cannot be, or no judge can be used.
        """
        if self._left:
            raise LostClusterError("The cluster was left, for this server ends")
        if self._members is not None and self._members.judges:
            return self._members
        if self._reaching is None:
            self._reaching = asyncio.create_task(self._reached())
            self._reaching.add_done_callback(_retrieved)
        return await asyncio.shield(self._reaching)

    async def _reached(self) -> Members:
        try:
            members = await self._cluster.connect()
        finally:
            self._reaching = None
        if self._left:
            self._cluster.disconnect()
            raise LostClusterError("The cluster was left, for this server ends")
        self._members, self._looked = members, time.monotonic()
        self._lost.clear()
        return members

    def _look_when_due(self, members: Members) -> None:
        """Begins a look for more judges where the last was long ago; nobody waits for it."""
        under_way = self._looking is not None and not self._looking.done()
        if not under_way and time.monotonic() - self._looked >= LOOK_S:
            self._looking = asyncio.create_task(self._look(members))

    async def _look(self, members: Members) -> None:
        with contextlib.suppress(HarnessError):  # the next use tells it
            await self._cluster.look_again(members)
        self._looked = time.monotonic()
        for name in self._lost.keys() & members.judges.keys():
            del self._lost[name]

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

    @contextlib.asynccontextmanager
    async def one_of(self, devices: Sequence[str]) -> AsyncIterator[str]:
        """The judge that what is compared stays on: the one with the least to do."""
        with self._queue.one_of(tuple((await self.members()).judges)) as judge:
            yield judge

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
            try:
                await judge.call("begin", asked.model_dump_json().encode(), None)
                session = RemoteSession(judge, asked.request_id)
                await session.begin()
                yield session
                await judge.call("release", asked.request_id)
            finally:
                await forgotten(judge, asked.request_id)

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
                self._look_when_due(members)
                try:
                    yield name, judge
                except LostJudgeError as error:
                    members.judges.pop(name, None)
                    members.facts.pop(name, None)
                    if self._members is members:
                        self._lost[name] = error.what
                        self._looked = float("-inf")  # the next use has it looked for
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
                    found = await carried_out(judge, request, files, kind, progress)
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
        self._cluster.disconnect()


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


def _retrieved(task: asyncio.Task[Members]) -> None:
    """Takes note of a failure that nobody waited for, which asyncio would write to the log."""
    if not task.cancelled():
        task.exception()
