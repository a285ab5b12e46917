"""Evaluations on the judges of a cluster, in place of those of this machine.

A judge that is lost costs the trial that it had, which is judged once more elsewhere; it is never
the candidate's fault. What needs a judge for more than one message is refused here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..distributed.device_queue import DeviceQueue, QueueState
from ..errors import CapabilityError, InfrastructureError
from ..evaluation.judge_pool import error_of
from ..messages.frames import decode
from ..messages.judge import EvaluatePlan, JudgeFault, JudgeReport, Progress, Ready, from_judge
from ..progress import OnProgress
from .nodes import NodeFacts
from .operator_files import Files, files_of

TRIES = 2


class LostJudgeError(InfrastructureError):
    """Raised when a judge's node or process is gone."""


class RemoteJudge(Protocol):
    """A judge somewhere else."""

    async def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of `JudgeActor`.

        Raises:
            LostJudgeError: when the judge is gone.
            InfrastructureError: when the cluster is.
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

    async def members(self) -> Members:
        """The judges; the cluster is reached for it where it was not.

        Raises:
            InfrastructureError: when it cannot be, or no judge can be used.
        """
        async with self._connecting:
            members = self._members
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

    async def evaluate(
        self, devices: Sequence[str], plan: EvaluatePlan, progress: OnProgress, client: str = ""
    ) -> JudgeReport:
        """Has one plan carried out by one judge; by another where that one is lost.

        Raises:
            InfrastructureError: when two judges were lost, none is left, or the cluster is gone.
            DatasetError: when the operator or its data is at fault.
        """
        folder = Path(plan.operator_dir) if plan.operator_dir else None
        files = await asyncio.to_thread(files_of, folder) if folder else None
        what = f"evaluation {plan.evaluation_id}"
        last: LostJudgeError | None = None
        for _ in range(TRIES):
            members = await self.members()
            turn = self._queue.turn(tuple(members.judges), what, progress, client=client)
            async with turn as name:
                judge = members.judges.get(name)
                if judge is None:  # lost while this one waited
                    continue
                try:
                    report = await self._carried_out(judge, plan, files, progress)
                except LostJudgeError as error:
                    last = error
                    self._lost[name] = error.what
                    members.judges.pop(name, None)
                    await progress(0, 1, f"{name} was lost; judged again elsewhere")
                    continue
                self._queue.note_answer(name)
                return report
        raise last or InfrastructureError("No judge of the cluster is left", remedy="Try again.")

    async def _carried_out(
        self, judge: RemoteJudge, plan: EvaluatePlan, files: Files | None, progress: OnProgress
    ) -> JudgeReport:
        identity = plan.evaluation_id
        await judge.call("begin", plan.model_dump_json().encode(), files)
        try:
            while True:
                for body in await judge.call("messages", identity):
                    message = decode(from_judge, body)
                    if isinstance(message, Progress):
                        await progress(message.done, message.total, message.message)
                    elif isinstance(message, JudgeReport):
                        return message
                    elif isinstance(message, JudgeFault):
                        raise error_of(message)
        finally:
            with contextlib.suppress(InfrastructureError):
                await asyncio.shield(judge.call("cancel", identity))

    @contextlib.asynccontextmanager
    async def judge_of(self, device: str, what: str, progress: OnProgress) -> AsyncIterator[Any]:
        """Refuses: a use of more than one message needs a judge of this machine."""
        raise _not_here()
        yield

    async def ask(self, *asked: Any) -> Any:
        """Refuses, as `judge_of` does."""
        raise _not_here()

    @contextlib.asynccontextmanager
    async def reserved(self, device: str, progress: OnProgress) -> AsyncIterator[None]:
        """Refuses, as `judge_of` does."""
        raise _not_here()
        yield

    async def close(self) -> None:
        """Leaves the cluster; its judges end with the connection."""
        self.kill()

    def kill(self) -> None:
        """Leaves the cluster at once."""
        self._members = None
        self._disconnect()


def _not_here() -> CapabilityError:
    return CapabilityError(
        "Over a cluster, candidates are evaluated and nothing else",
        remedy="Profile, tune, inspect and promote with a server on a machine with such a GPU: "
        "without --cluster there.",
    )
