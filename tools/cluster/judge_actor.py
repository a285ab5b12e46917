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
from ..evaluation.judge_pool import JUDGE_COMMAND, JudgePool
from ..messages.frames import Message
from ..messages.judge import EvaluatePlan, JudgeFault, Progress
from ..settings import Settings
from .operator_files import Files, lay_out

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

    async def begin(self, plan: bytes, files: Files | None) -> None:
        """Begins a trial; what is said of it is asked for with `messages`.

        Args:
            plan: an EvaluatePlan as JSON.
            files: of the operator; None where it needs none.
        """
        asked = EvaluatePlan.model_validate_json(plan)
        folder = None
        if files is not None:
            root = self._settings.data_dir / "operators"
            folder = str(lay_out(files, str(asked.definition["name"]), root))
        asked = asked.model_copy(update={"operator_dir": folder, "hardware_file": ""})
        identity = asked.evaluation_id
        self._messages[identity] = asyncio.Queue()
        self._work[identity] = asyncio.create_task(self._carry_out(asked))

    async def messages(self, evaluation_id: str, wait_s: float = POLL_S) -> list[bytes]:
        """What was said of a trial since the last question, as JSON; waits for something."""
        queue = self._messages[evaluation_id]
        try:
            async with asyncio.timeout(wait_s):
                found = [await queue.get()]
        except TimeoutError:
            return []
        while not queue.empty():
            found.append(queue.get_nowait())
        return found

    async def cancel(self, evaluation_id: str) -> None:
        """Stops a trial, and forgets one that has ended."""
        task = self._work.pop(evaluation_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._messages.pop(evaluation_id, None)

    async def close(self) -> None:
        """Ends the judge."""
        for identity in list(self._work):
            await self.cancel(identity)
        await self._pool.close()

    async def _carry_out(self, plan: EvaluatePlan) -> None:
        identity = plan.evaluation_id

        async def note(done: float, total: float, message: str) -> None:
            step = Progress(
                evaluation_id=identity, done=done, total=total, stage="", message=message
            )
            self._say(identity, step)

        try:
            self._say(identity, await self._pool.evaluate((self._device,), plan, note))
        except HarnessError as error:
            self._fault(identity, error, of_dataset=isinstance(error, DatasetError))
        except Exception as error:  # whatever it is: the server asks until something is said
            self._fault(identity, InfrastructureError(f"The node failed: {error!r}"))

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
