"""Runs one candidate under one tool: a private folder, a request, a command, its result.

The command is a profiler's, started through `candidate/profiled/launch`, which takes the
candidate's account first and ends all that descends from it, on timeout, on cancel and by
`ProfileRunner.kill`; the folder goes with the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import anyio
import anyio.abc

from ...errors import InfrastructureError
from ...folders import remove_tree
from ...messages.candidate import BuildRequest
from ...messages.frames import Message
from ...messages.profiler import (
    ANSWER_BYTES,
    LaunchOutcome,
    OutputSpec,
    ProfileLaunch,
    ProfileReply,
    ProfileRun,
    read_message,
    write_message,
)
from ...messages.zygote import CACHE_FOLDERS, FETCHED_FOLDER
from ...schema.definition import Definition
from ...schema.flashinfer_trace import Solution
from ...settings import candidate_environment
from ..diagnosis.bottleneck import NO_FLOORS, WorkFloors

LAUNCHER = "kernel_harness.tools.candidate.profiled.launch"
RUN = "kernel_harness.tools.candidate.profiled.run"
OUTPUT_BYTES = 8 << 20
GRACE_S = 5.0
_LOCALE = {"LANG": "C", "LC_ALL": "C"}
"""Tools print numbers as this locale has them, whatever the user's is."""

Mode = Literal["counters", "timeline", "sanitizer"]
M = TypeVar("M", bound=Message)
Wrap = Callable[[Path, Sequence[str]], list[str]]
"""From the private folder and the run's own command to the profiler's command around it."""


@dataclass(frozen=True)
class Subject:
    """The solution to profile and its definition."""

    solution: Solution
    definition: Definition

    @property
    def content_hash(self) -> str:
        """Hash of everything in the solution that changes behaviour."""
        return self.solution.content_hash()


@dataclass(frozen=True)
class WorkloadInputs:
    """A workload to profile, with the file of its inputs.

    Attributes:
        axes: sizes of its variable axes.
        inputs_file: safetensors written by the judge for `MaterialiseInputs`.
        floors: what the cost model knows of the work.
    """

    uuid: str
    axes: Mapping[str, int]
    inputs_file: Path
    floors: WorkFloors = NO_FLOORS


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
        """Runs one call of the subject under a profiler; arguments as of `run_all`."""
        async with self.run_all(
            subject,
            [workload],
            mode,
            wrap,
            timeout_s=timeout_s,
            keep_counters=keep_counters,
            warm_calls=warm_calls,
            variables=variables,
        ) as (result,):
            yield result

    @contextlib.asynccontextmanager
    async def run_all(
        self,
        subject: Subject,
        workloads: Sequence[WorkloadInputs],
        mode: Mode,
        wrap: Wrap,
        *,
        timeout_s: float,
        keep_counters: bool = False,
        warm_calls: int = 3,
        variables: Mapping[str, str] | None = None,
    ) -> AsyncIterator[list[RunResult]]:
        """Runs one call on each workload under a profiler, all in one process.

        Args:
            timeout_s: most seconds; then the run is killed and `Finished.timed_out` is set.
            keep_counters: whether the account keeps what the driver demands for counters.
            warm_calls: calls before the one that is looked at.

        Raises:
            InfrastructureError: when the run could not be started.
        """
        folder = Path(tempfile.mkdtemp(prefix="kernel-harness-profile-"))
        try:
            requests = await anyio.to_thread.run_sync(
                lambda: self._prepare(folder, subject, workloads, mode, warm_calls)
            )
            target = [sys.executable, "-m", RUN, *requests]
            launch = ProfileLaunch(
                command=wrap(folder, target),
                private_dir=str(folder),
                environment=_environment(folder) | dict(variables or {}),
                outcome_file=str(folder / "outcome.json"),
                keep_counters=keep_counters,
            )
            write_message(launch, folder / "launch.json")
            command = [sys.executable, "-m", LAUNCHER, str(folder / "launch.json")]
            finished = await self.execute(command, timeout_s=timeout_s)
            outcome = _read_back(LaunchOutcome, folder / "outcome.json")
            yield [
                RunResult(
                    folder=folder,
                    finished=finished,
                    answer=_read_back(ProfileReply, Path(request.answer_file)),
                    outcome=outcome,
                    trace=Path(request.trace_file) if request.trace_file else None,
                )
                for request in requests.values()
            ]
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

    def _prepare(
        self,
        folder: Path,
        subject: Subject,
        workloads: Sequence[WorkloadInputs],
        mode: Mode,
        warm_calls: int,
    ) -> dict[str, ProfileRun]:
        """Fills the folder; the requests by the names of their files."""
        for name in CACHE_FOLDERS.values():
            (folder / name).mkdir()
        requests: dict[str, ProfileRun] = {}
        for number, workload in enumerate(workloads):
            request = profile_run(subject, workload, mode, folder, self.device, number)
            place_inputs(workload.inputs_file, Path(request.inputs_file))
            request = request.model_copy(update={"warm_calls": warm_calls})
            name = folder / f"request-{number}.json"
            write_message(request, name)
            requests[str(name)] = request
        if self.cache_dir is not None:
            (build,) = {request.build.package for request in requests.values()}
            place_builds(self.cache_dir, build, folder)
        return requests


def profile_run(
    subject: Subject,
    workload: WorkloadInputs,
    mode: Mode,
    folder: Path,
    device: str,
    number: int = 0,
) -> ProfileRun:
    """Builds the request of one call, whose files in the folder have the number in their names.

    Raises:
        InfrastructureError: when an output has no shape that could be allocated.
    """
    solution, definition = subject.solution, subject.definition
    axes = definition.axis_values(workload.axes)
    outputs = [
        OutputSpec(
            name=name,
            shape=[axes[axis] for axis in spec.shape or ()],
            dtype=str(spec.dtype.value),
        )
        for name, spec in definition.outputs.items()
    ]
    return ProfileRun(
        mode=mode,
        build=BuildRequest.of(
            solution.model_dump(mode="json"),
            content_hash=subject.content_hash,
            argument_count=len(definition.inputs),
            output_count=len(definition.outputs),
        ),
        private_dir=str(folder),
        inputs_file=str(folder / f"inputs-{number}.safetensors"),
        input_order=list(definition.inputs),
        outputs=outputs,
        device=device,
        answer_file=str(folder / f"answer-{number}.json"),
        trace_file=str(folder / f"trace-{number}.json") if mode == "timeline" else None,
    )


def place_builds(cache: Path, package: str, folder: Path) -> None:
    """Copies the finished builds of one candidate, and of no other, out of the cache."""
    for library in cache.glob(f"native-*/{package}.so"):
        target = folder / FETCHED_FOLDER / library.parent.name
        with contextlib.suppress(OSError):
            shutil.copytree(library.parent, target)


def place_inputs(source: Path, target: Path) -> None:
    """Links or copies the inputs to where the other account can read and not change them.

    A link where everyone may read the file, else a copy.

    Raises:
        InfrastructureError: when the file is missing or cannot be copied.
    """
    try:
        real = source.resolve(strict=True)
        if real.stat().st_mode & 0o004 and all(p.stat().st_mode & 0o001 for p in real.parents):
            target.symlink_to(real)
        else:
            shutil.copyfile(real, target)
            target.chmod(0o644)
    except OSError as error:
        raise InfrastructureError(
            f"The inputs could not be placed: {error}",
            where=str(source),
            remedy="Profile again: the judge writes them anew.",
        ) from error


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
