"""A judge somewhere else: what it is asked, how its answers come, and how it can be lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import InfrastructureError
from ..evaluation.judge_pool import error_of
from ..messages.frames import Message, decode
from ..messages.judge import EvaluatePlan, JudgeAnswer, JudgeFault, Progress, Ready
from ..progress import OnProgress
from .messages import Asked, JudgeNotStarted, ProfiledOnNode, from_node, identity_of
from .operator_files import Files, files_of

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
        message = decode(from_node, self._said.popleft())
        if isinstance(message, JudgeNotStarted):
            raise _not_started(message)
        if isinstance(message, JudgeFault) and message.evaluation_id == self._identity:
            raise error_of(message)
        assert not isinstance(message, ProfiledOnNode)  # a session is of plans
        return message


async def carried_out(
    judge: RemoteJudge,
    request: EvaluatePlan | Asked,
    files: Files | None,
    kind: type[A],
    progress: OnProgress,
) -> tuple[A, Files]:
    """The answer of a judge to one request, with its files; what it says meanwhile is passed on.

    Raises:
        HarnessError: when the judge failed, or was lost.
    """
    identity = identity_of(request)
    try:
        await judge.call("begin", request.model_dump_json().encode(), files)
        while True:
            for body in await judge.call("messages", identity):
                message = decode(from_node, body)
                if isinstance(message, Progress):
                    await progress(message.done, message.total, message.message)
                elif isinstance(message, JudgeNotStarted):
                    raise _not_started(message)
                elif isinstance(message, kind):
                    asked = not isinstance(request, EvaluatePlan)
                    return message, await judge.call("files", identity) if asked else {}
                elif isinstance(message, JudgeFault):
                    raise error_of(message)
    finally:
        await forgotten(judge, identity)


def _not_started(message: JudgeNotStarted) -> LostJudgeError:
    """A judge that does not start is lost: free again at once, it would fail one after another."""
    return LostJudgeError(
        message.what, remedy="See to that node; this was not the candidate's fault."
    )


async def forgotten(judge: RemoteJudge, identity: str) -> None:
    """Stops what a judge does for a request, and has it forgotten."""
    with contextlib.suppress(InfrastructureError):
        await asyncio.shield(judge.call("cancel", identity))
