"""Runs one candidate under one tool: a private folder, a request, a command, its result.

The command is a profiler's, started through `candidate/profiled/launch`, which takes the
candidate's account first and ends all that descends from it, on timeout, on cancel and by
`ProfileRunner.kill`; the folder goes with the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.abc

from ...errors import InfrastructureError
from ...folders import remove_tree
from ...messages.frames import Message
from ...messages.profiler import (
    ANSWER_BYTES,
    LaunchOutcome,
    ProfileLaunch,
    ProfileReply,
    ReplayReply,
    read_message,
    write_message,
)
from ...messages.zygote import CACHE_FOLDERS
from ...settings import candidate_environment
from ...text import shorten
from .run_files import (
    ANSWER_FILE,
    TRACE_FILE,
    Mode,
    RecordedWorkload,
    Subject,
    WorkloadInputs,
    replay_requests,
    write_request,
)

LAUNCHER = "kernel_harness.tools.candidate.profiled.launch"
RUN = "kernel_harness.tools.candidate.profiled.run"
REPLAY = "kernel_harness.tools.runner.profiled.run"
LAST_CHARACTERS = 600
"""Of the output of a process that ended early."""
REPLAY_VARIABLES = {"CUDA_MODULE_LOADING": "EAGER", "CUDA_CACHE_DISABLE": "1"}
"""As a runner of the judge's has them."""
OUTPUT_BYTES = 8 << 20
GRACE_S = 5.0
_LOCALE = {"LANG": "C", "LC_ALL": "C"}
"""Tools print numbers as this locale has them, whatever the user's is."""

M = TypeVar("M", bound=Message)
T = TypeVar("T")
Wrap = Callable[[Path, Sequence[str]], list[str]]
"""From the private folder and the run's own command to the profiler's command around it."""


@dataclass(frozen=True)
class Finished:
    """Exit status and output of a command."""

    status: int | None
    output: str
    timed_out: bool
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """Files and exit of a profiled run; valid while its folder exists."""

    folder: Path
    finished: Finished
    answer: ProfileReply | None
    outcome: LaunchOutcome | None
    trace: Path | None = None

    @property
    def failure(self) -> str | None:
        """The candidate's own fault, in its untrusted words; None when it ran to its end."""
        if self.answer is None or self.answer.fault is None:
            return None
        fault = self.answer.fault
        return f"{self.answer.stage}: {fault.message}"[:2000]


@dataclass(frozen=True)
class ReplayResult:
    """Files and exit of a run that replayed recorded calls; valid while its folder exists."""

    folder: Path
    finished: Finished
    answers: tuple[ReplayReply | None, ...]
    outcome: LaunchOutcome | None

    @property
    def failure(self) -> str | None:
        """Why not all calls were replayed; None when they were."""
        for answer in self.answers:
            if answer is None:
                if self.finished.timed_out:
                    return None
                last = shorten(self.finished.output.strip(), LAST_CHARACTERS)
                return f"the replaying process ended early (status {self.finished.status}): {last}"
            if answer.fault is not None:
                return answer.fault[:2000]
        return None


@dataclass
class ProfileRunner:
    """Starts profiled runs on one device and can kill them all.

    Args:
        cache_dir: finished builds, by content.
    """

    device: str
    cache_dir: Path | None = None
    _leaders: set[int] = field(default_factory=set)

    def kill(self) -> None:
        """Ends every run at once; safe to call from a signal's handler.

        The launcher of each ends all that descends from it, which a signal to its group alone
        would not reach.
        """
        for leader in tuple(self._leaders):
            _signal(os.kill, leader, signal.SIGTERM)

    @contextlib.asynccontextmanager
    async def run(
        self,
        subject: Subject,
        workload: WorkloadInputs,
        mode: Mode,
        wrap: Wrap,
        *,
        timeout_s: float,
        keep_counters: bool = False,
        warm_calls: int = 3,
        variables: Mapping[str, str] | None = None,
    ) -> AsyncIterator[RunResult]:
        """Runs one call of the subject under a profiler.

        Args:
            timeout_s: most seconds; then the run is killed and `Finished.timed_out` is set.
            keep_counters: whether the account keeps what the driver demands for counters.
            warm_calls: calls before the one that is looked at.

        Raises:
            InfrastructureError: when the run could not be started.
        """

        def prepare(folder: Path) -> list[str]:
            device, cache = self.device, self.cache_dir
            name = write_request(
                folder, subject, workload, mode, device, warm_calls=warm_calls, cache=cache
            )
            return [name]

        async with self.launched(
            RUN,
            prepare,
            wrap,
            timeout_s=timeout_s,
            keep_counters=keep_counters,
            variables=variables,
        ) as (folder, finished, outcome):
            yield RunResult(
                folder=folder,
                finished=finished,
                answer=_read_back(ProfileReply, folder / ANSWER_FILE),
                outcome=outcome,
                trace=folder / TRACE_FILE if mode == "timeline" else None,
            )

    @contextlib.asynccontextmanager
    async def replay_all(
        self,
        workloads: Sequence[RecordedWorkload],
        wrap: Wrap,
        *,
        timeout_s: float,
        keep_counters: bool = False,
    ) -> AsyncIterator[ReplayResult]:
        """Replays the recorded calls under a profiler, all in one process without host code of
        a candidate; arguments as of `run`.
        """
        async with self.launched(
            REPLAY,
            lambda folder: replay_requests(folder, workloads),
            wrap,
            timeout_s=timeout_s,
            keep_counters=keep_counters,
            variables=REPLAY_VARIABLES,
        ) as (folder, finished, outcome):
            answers = [
                _read_back(ReplayReply, folder / workload.run.answer_file) for workload in workloads
            ]
            yield ReplayResult(folder, finished, tuple(answers), outcome)

    @contextlib.asynccontextmanager
    async def launched(
        self,
        module: str,
        prepare: Callable[[Path], Iterable[str]],
        wrap: Wrap,
        *,
        timeout_s: float,
        keep_counters: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[Path, Finished, LaunchOutcome | None]]:
        """Runs a module under a profiler, in a folder that is gone afterwards.

        Args:
            prepare: fills the folder and returns the module's arguments.

        Raises:
            InfrastructureError: when the run could not be started.
        """
        folder = Path(tempfile.mkdtemp(prefix="kernel-harness-profile-"))
        try:
            arguments = await anyio.to_thread.run_sync(prepare, folder)
            launch = ProfileLaunch(
                command=wrap(folder, [sys.executable, "-P", "-m", module, *arguments]),
                private_dir=str(folder),
                environment=_environment(folder) | dict(variables or {}),
                outcome_file=str(folder / "outcome.json"),
                keep_counters=keep_counters,
            )
            write_message(launch, folder / "launch.json")
            command = [sys.executable, "-P", "-m", LAUNCHER, str(folder / "launch.json")]
            finished = await self.execute(command, timeout_s=timeout_s)
            yield folder, finished, _read_back(LaunchOutcome, folder / "outcome.json")
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(remove_tree, folder)

    async def execute(
        self, command: Sequence[str], *, timeout_s: float, keep_bytes: int = OUTPUT_BYTES
    ) -> Finished:
        """Runs a command with what a candidate may see of the environment.

        Args:
            timeout_s: most seconds; its group is killed then, and when the caller is cancelled.
            keep_bytes: how much of what it prints is kept, from the beginning.

        Raises:
            InfrastructureError: when it cannot be started.
        """
        begin = time.monotonic()
        try:
            process = await anyio.open_process(
                list(command),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                env=candidate_environment() | _LOCALE,
                start_new_session=True,
            )
        except OSError as error:
            raise InfrastructureError(f"{command[0]} could not be started: {error}") from error
        self._leaders.add(process.pid)
        output = bytearray()
        timed_out = True
        try:
            with anyio.move_on_after(timeout_s):
                await _drain(process, output, keep_bytes)
                await process.wait()
                timed_out = False
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)
            self._leaders.discard(process.pid)
        return Finished(
            status=process.returncode,
            output=output.decode("utf-8", "replace"),
            timed_out=timed_out,
            seconds=time.monotonic() - begin,
        )


async def side_by_side(runs: Iterable[Awaitable[T]]) -> list[T]:
    """The results of runs that are made at the same time, in their order.

    Raises:
        InfrastructureError: the first of any, once all have ended.
    """
    found = await asyncio.gather(*runs, return_exceptions=True)
    results: list[T] = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        results.append(one)
    return results


def _environment(folder: Path) -> dict[str, str]:
    """The whole environment of the profiler and of what it runs."""
    environment = candidate_environment() | _LOCALE
    environment |= {name: str(folder / place) for name, place in CACHE_FOLDERS.items()}
    environment |= {
        "OMP_NUM_THREADS": "8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "USER": "candidate",
        "LOGNAME": "candidate",
    }
    return environment


async def _end(process: anyio.abc.Process) -> None:
    """Ends a process by SIGTERM, so that it ends its children, then by SIGKILL."""
    if process.returncode is None:
        _signal(os.kill, process.pid, signal.SIGTERM)
        with anyio.move_on_after(GRACE_S):
            await process.wait()
    _signal(os.killpg, process.pid, signal.SIGKILL)
    await process.wait()
    await process.aclose()


def _signal(send: Callable[[int, int], None], pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(pid, number)


async def _drain(process: anyio.abc.Process, output: bytearray, keep_bytes: int) -> None:
    """Reads a stream to its end and returns its beginning: a candidate may print for ever."""
    assert process.stdout is not None
    async for part in process.stdout:
        free = keep_bytes - len(output)
        if free > 0:
            output += part[:free]


def _read_back(kind: type, path: Path):
    try:
        return read_message(kind, path, ANSWER_BYTES)
    except InfrastructureError:
        return None
