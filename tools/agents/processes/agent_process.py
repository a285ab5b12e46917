"""One start of an agent: what it is given, how long it may take, what it wrote, how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .confined import NOT_CONFINED, NOT_STARTED, ConfinedCommand

MODULE = "kernel_harness.tools.agents.processes.confined"
KEPT_BYTES = 1 << 20
"""Of an output: so much of its beginning, and as much of its end."""
GRACE_S = 5.0
MOST_PROCESSES = 512


class AgentEnd(StrEnum):
    """How a start of an agent ended."""

    DONE = "done"
    FAILED = "failed"
    TIME = "out of time"
    STOPPED = "stopped"
    NOT_STARTED = "not started"


@dataclass(frozen=True)
class AgentRun:
    """What came of a start.

    Attributes:
        status: the exit status; None where it was ended.
        output, errors: what it wrote, the middle of a long text left out.
    """

    end: AgentEnd
    status: int | None
    seconds: float
    output: str
    errors: str


@dataclass(frozen=True)
class AgentStart:
    """What an agent is given.

    Attributes:
        arguments: the command line.
        stdin: the prompt, or nothing.
        work: the working folder; `writable` are all folders that it may write to.
        processes: that it may have at once.
    """

    arguments: Sequence[str]
    stdin: str
    work: Path
    environment: Mapping[str, str]
    readable: Sequence[Path]
    writable: Sequence[Path]
    confine: bool = True
    processes: int = MOST_PROCESSES


class _Kept:
    """The beginning and the end of a stream."""

    def __init__(self) -> None:
        self._head, self._tail, self._left_out = bytearray(), bytearray(), 0

    async def read(self, stream: asyncio.StreamReader) -> None:
        while part := await stream.read(1 << 16):
            left = KEPT_BYTES - len(self._head)
            self._head += part[:left]
            self._tail += part[left:] if left > 0 else part
            if len(self._tail) > 2 * KEPT_BYTES:
                self._left_out += len(self._tail) - KEPT_BYTES
                del self._tail[:-KEPT_BYTES]

    @property
    def text(self) -> str:
        middle = f"\n… {self._left_out} bytes …\n".encode() if self._left_out else b""
        return bytes(self._head + middle + self._tail).decode("utf-8", "replace")


async def run_agent(
    start: AgentStart, specification: Path, limit_s: float, stop: asyncio.Event
) -> AgentRun:
    """Starts an agent and waits for its end, its time limit, or a stop.

    Args:
        specification: file for what the launcher is told, out of the agent's reach.
    """
    command = ConfinedCommand(
        arguments=list(start.arguments),
        readable=[str(path) for path in start.readable],
        writable=[str(path) for path in start.writable],
        parent=os.getpid(),
        processes=start.processes,
        confine=start.confine,
    )
    text = command.model_dump_json()
    await asyncio.to_thread(specification.write_text, text, encoding="utf-8")
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", MODULE, str(specification)),
        cwd=start.work,
        env=dict(start.environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    output, errors = _Kept(), _Kept()
    reading = [
        asyncio.ensure_future(output.read(process.stdout)),
        asyncio.ensure_future(errors.read(process.stderr)),
        asyncio.ensure_future(_feed(process.stdin, start.stdin)),
    ]
    ended = asyncio.ensure_future(process.wait())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({ended, stopped}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        end = _end_of(process.returncode, stopped=stopped.done())
    finally:
        await _ended(process)
        stopped.cancel()
        await asyncio.wait(reading, timeout=GRACE_S)
        for one in (*reading, ended):
            one.cancel()
    status = process.returncode if end in (AgentEnd.DONE, AgentEnd.FAILED) else None
    return AgentRun(end, status, time.monotonic() - began, output.text, errors.text)


def _end_of(status: int | None, *, stopped: bool) -> AgentEnd:
    if status is None:
        return AgentEnd.STOPPED if stopped else AgentEnd.TIME
    if status in (NOT_CONFINED, NOT_STARTED):
        return AgentEnd.NOT_STARTED
    return AgentEnd.DONE if status == 0 else AgentEnd.FAILED


async def _feed(stream: asyncio.StreamWriter, text: str) -> None:
    """Writes the prompt; an agent that does not read it loses it."""
    with contextlib.suppress(OSError):
        stream.write(text.encode())
        await stream.drain()
    stream.close()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Ends the launcher, which ends everything below it."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
