"""One judge process as seen from the server: started, spoken to in messages, ended.

Its environment is an allow-list, for what a client's environment holds (keys, tokens) must not
reach a candidate through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from ..devices.gpus import nvidia_devices, seen_alone
from ..distributed.processors import processors_of
from ..errors import HarnessError, InfrastructureError
from ..messages.frames import TRUSTED_FRAME_BYTES, Message, decode, encode, frame_length
from ..messages.judge import Ready, Shutdown, from_judge
from ..messages.last_words import death_of_judge, last_line, said_since
from ..settings import Settings, candidate_environment

JUDGE_COMMAND = (sys.executable, "-P", "-m", "kernel_harness.tools.judge")
"""With -P: what lies in the folder that a client started the server in is not imported."""
START_TIMEOUT_S = 120.0
CANCEL_GRACE_S = 3.0


class JudgeStoppedError(InfrastructureError):
    """Raised when a judge ended because this server ended it."""


class NotStartedError(InfrastructureError):
    """Raised when a judge does not come up, so that nothing of a candidate has run."""


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
            NotStartedError: when it does not come up; the end of its log is in the text.
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
            raise NotStartedError(
                f"The judge for {self.device} did not start: {said or error}",
                where=str(self._log),
                remedy="Run check_environment; the log has the details.",
            ) from error
        if not isinstance(message, Ready):
            self.kill()
            raise NotStartedError(f"The judge said {type(message).__name__} before it was ready")
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
