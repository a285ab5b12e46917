"""A judge on a node, as the actor that Ray runs there; it imports no Ray.

It owns a judge of the node's device as a server does, and hands its messages over as bytes when it
is asked for them, so that a server that went away costs nothing but the trial under way. It has no
signing key: records are signed where they are kept.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..devices.gpus import chosen_devices
from ..errors import DatasetError, HarnessError, InfrastructureError
from ..evaluation.judge_pool import JudgePool
from ..evaluation.judge_process import JUDGE_COMMAND, Judge, NotStartedError
from ..messages.frames import Message, decode
from ..messages.judge import (
    CallInspected,
    CheckOperator,
    CodeCompiled,
    CompileCode,
    EvaluatePlan,
    InspectCall,
    JudgeFault,
    OperatorChecked,
    Progress,
)
from ..progress import OnProgress, ignore_progress
from ..settings import Settings
from .messages import HoldJudge, JudgeNotStarted, NodeRequest, ProfileOnNode, identity_of, to_node
from .node_profiling import profiled
from .operator_files import Files, files_below, lay_out

POLL_S = 10.0
"""Longest that a question for messages waits for the next."""


class JudgeActor:
    """A judge of one device of this node.

    Args:
        folder: of caches and logs; made under the system's folder of temporary files if empty.
        device: 'auto' for the GPU that Ray gave this process, or 'cpu'.
        command: of a judge; a test brings one that plays a part.
    """

    def __init__(
        self, folder: str = "", device: str = "auto", command: Sequence[str] = JUDGE_COMMAND
    ) -> None:
        place = Path(folder or Path(tempfile.gettempdir()) / f"kernel-harness-node-{os.getuid()}")
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        none = place / "no-key"
        self._settings = Settings(data_dir=place, device=device, signing_key=none)
        self._device = chosen_devices(self._settings)[0]
        self._pool = JudgePool(self._settings, command)
        self._messages: dict[str, asyncio.Queue[bytes]] = {}
        self._requests: dict[str, asyncio.Queue[NodeRequest | None]] = {}
        self._files: dict[str, Files] = {}
        self._work: dict[str, asyncio.Task[None]] = {}

    async def facts(self) -> dict[str, Any]:
        """What the judge says of itself and of this node; it is started for it."""
        ready = await self._pool.warm(self._device)
        return {
            "host": socket.gethostname(),
            "device": ready.device,
            "versions": {**ready.versions, "kernel-harness": version("kernel-harness")},
            "isolation": ready.isolation,
            "clocks": _clocks(str(ready.device.get("uuid") or "")),
        }

    async def begin(self, request: bytes, files: Files | None) -> None:
        """Begins what is asked for; what is said of it is asked for with `messages`.

        Args:
            request: one of `to_node`, as JSON.
            files: of the operator; None where it needs none.
        """
        asked = self._as_here(decode(to_node, request), files)
        identity = identity_of(asked)
        self._messages[identity] = asyncio.Queue()
        self._requests[identity] = asyncio.Queue()
        self._work[identity] = asyncio.create_task(self._carry_out(asked))

    async def send(self, identity: str, request: bytes, files: Files | None) -> None:
        """Passes a message on to the judge that is held."""
        self._requests[identity].put_nowait(self._as_here(decode(to_node, request), files))

    async def release(self, identity: str) -> None:
        """Ends the holding of the judge, which stays as it is."""
        self._requests[identity].put_nowait(None)
        await asyncio.gather(self._work[identity], return_exceptions=True)

    async def files(self, identity: str) -> Files:
        """The files that an answer names, once it was said."""
        return self._files.pop(identity, {})

    async def messages(self, identity: str, wait_s: float = POLL_S) -> list[bytes]:
        """What was said of a request since the last question, as JSON; waits for something."""
        queue = self._messages[identity]
        try:
            async with asyncio.timeout(wait_s):
                found = [await queue.get()]
        except TimeoutError:
            return []
        while not queue.empty():
            found.append(queue.get_nowait())
        return found

    async def cancel(self, identity: str) -> None:
        """Stops what was begun, and forgets it where it has ended."""
        task = self._work.pop(identity, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for kept in (self._messages, self._requests, self._files):
            kept.pop(identity, None)

    async def close(self) -> None:
        """Ends the judge."""
        for identity in list(self._work):
            await self.cancel(identity)
        await self._pool.close()

    def _as_here(self, asked: NodeRequest, files: Files | None) -> NodeRequest:
        """A request whose operator lies where its files were laid out."""
        changes: dict[str, Any] = {"hardware_file": ""} if isinstance(asked, EvaluatePlan) else {}
        if not isinstance(asked, HoldJudge):
            root, folder = self._settings.data_dir / "operators", None
            if files is not None:
                folder = str(lay_out(files, str(asked.definition["name"]), root))
            changes["operator_dir"] = folder
        return asked.model_copy(update=changes)

    async def _carry_out(self, asked: NodeRequest) -> None:
        identity = identity_of(asked)

        async def note(done: float, total: float, message: str) -> None:
            step = Progress(
                evaluation_id=identity, done=done, total=total, stage="", message=message
            )
            self._say(identity, step)

        try:
            if isinstance(asked, HoldJudge):
                await self._pass_on(asked)
            else:
                self._say(identity, await self._answer(asked, note))
        except NotStartedError as error:
            self._say(identity, JudgeNotStarted(request_id=identity, what=error.what))
        except HarnessError as error:
            self._fault(identity, error, of_dataset=isinstance(error, DatasetError))
        except Exception as error:  # whatever it is: the server asks until something is said
            self._fault(identity, InfrastructureError(f"The node failed: {error!r}"))

    async def _answer(
        self,
        asked: EvaluatePlan | CheckOperator | InspectCall | CompileCode | ProfileOnNode,
        note: OnProgress,
    ) -> Message:
        """What a request is answered with; the files that the answer names are kept."""
        if isinstance(asked, EvaluatePlan):
            return await self._pool.evaluate((self._device,), asked, note)
        if isinstance(asked, ProfileOnNode):
            answer, self._files[asked.request_id] = await profiled(
                asked, self._settings, self._device, self._pool, note
            )
            return answer
        if isinstance(asked, CheckOperator):
            return await self._pool.ask(self._device, asked, OperatorChecked, note)
        with tempfile.TemporaryDirectory(prefix="kernel-harness-call-") as folder:
            here = asked.model_copy(update={"folder": folder})
            if isinstance(here, InspectCall):
                answer = await self._pool.ask(self._device, here, CallInspected, note)
            else:
                answer = await self._pool.ask(self._device, here, CodeCompiled, note)
            found = await asyncio.to_thread(files_below, Path(folder))
        self._files[asked.request_id] = found
        moved = answer.model_dump_json().replace(folder, asked.folder)
        return type(answer).model_validate_json(moved)

    async def _pass_on(self, asked: HoldJudge) -> None:
        """Holds the judge, and passes on what either side says until it is released."""
        identity = asked.request_id
        async with self._pool.judge_of(self._device, asked.what, ignore_progress) as judge:
            assert judge.ready is not None
            self._say(identity, judge.ready)
            ways = [self._from_judge(identity, judge), self._to_judge(identity, judge)]
            tasks = [asyncio.create_task(way) for way in ways]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()

    async def _from_judge(self, identity: str, judge: Judge) -> None:
        while True:
            self._say(identity, await judge.read())

    async def _to_judge(self, identity: str, judge: Judge) -> None:
        requests = self._requests[identity]
        while (message := await requests.get()) is not None:
            await judge.send(message)

    def _fault(self, identity: str, error: HarnessError, *, of_dataset: bool = False) -> None:
        fault = JudgeFault(
            evaluation_id=identity,
            of_dataset=of_dataset,
            what=error.what,
            where=error.where,
            remedy=error.remedy,
        )
        self._say(identity, fault)

    def _say(self, identity: str, message: Message) -> None:
        if (queue := self._messages.get(identity)) is not None:
            queue.put_nowait(message.model_dump_json().encode())


def _clocks(uuid: str) -> dict[str, int]:
    """The highest clocks of a GPU in MHz; empty where NVML does not tell."""
    if not uuid:
        return {}
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
        kinds = {"sm": pynvml.NVML_CLOCK_SM, "memory": pynvml.NVML_CLOCK_MEM}
        return {
            name: int(pynvml.nvmlDeviceGetMaxClockInfo(handle, kind))
            for name, kind in kinds.items()
        }
    except Exception:  # no library, or a device that tells none
        return {}
