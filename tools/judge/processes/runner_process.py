"""One runner process from the judge's side: started by module name, asked, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ...errors import InfrastructureError
from ...folders import remove_tree
from ...messages.frames import Message, WireError
from ...messages.runner import (
    Replay,
    Replayed,
    ReplaysMade,
    RunnerFault,
    RunnerReady,
    from_runner,
)
from ...messages.sockets import WireClosedError, close_all, readable, recv_frame, send_frame

MODULE = "kernel_harness.tools.runner.__main__"
LAUNCHER = "kernel_harness.tools.candidate.sandbox.confined"
KEPT_VARIABLES = frozenset(
    {"PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"}
    | {"NVIDIA_VISIBLE_DEVICES", "CUDA_HOME", "CUDA_PATH", "LANG", "LC_ALL"}
)
"""What of the judge's environment a runner is given: nothing that could be a secret."""
ANSWER_BYTES = 64 << 20
START_S = 60.0
END_S = 5.0
Answer = TypeVar("Answer", bound=Message)


class RunnerLostError(InfrastructureError):
    """Raised when a runner failed, said nonsense, hung or ended; `stage` names the request."""

    def __init__(self, stage: str, words: str) -> None:
        self.stage = stage
        super().__init__(f"The runner failed at {stage}: {words}")


class RunnerProcess:
    """A runner that was started; its context is there once `ready` has returned.

    Args:
        device_index: the device to take.
        environment: the judge's; `KEPT_VARIABLES` of it are the runner's.
        folder: its home, empty and for it alone, whose account it gets; removed at its end.
    """

    def __init__(self, device_index: int, environment: Mapping[str, str], folder: Path) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket, self._folder = ours, folder
        self._ready: RunnerReady | None = None
        command = [sys.executable, "-P", "-m", LAUNCHER, str(folder), MODULE]
        command += ["--device", str(device_index)]
        with theirs:
            self._process = subprocess.Popen(
                [*command, "--control", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=environment_of(environment, folder),
                cwd=folder,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def clock_note(self) -> str:
        """Why no activity is recorded in it, as it said at its start; empty where it is."""
        return self.ready().clock_note

    def ready(self) -> RunnerReady:
        """Waits for the context.

        Raises:
            RunnerLostError: when there is none within a minute.
        """
        if self._ready is None:
            self._ready = self.answer("start", RunnerReady, START_S)
        return self._ready

    def answered(self) -> bool:
        """Whether `prepared` need not wait."""
        return self._ready is not None or readable(self._socket)

    def prepared(self) -> bool:
        """Waits for the context; False when there is none, or the process has ended since."""
        try:
            self.ready()
        except RunnerLostError:
            return False
        return self._process.poll() is None

    def ask(
        self, request: Message, expected: type[Answer], timeout_s: float, fds: Sequence[int] = ()
    ) -> Answer:
        """Sends a request once the runner is up, and waits for its answer.

        Descriptors stay the caller's to close.

        Raises:
            RunnerLostError: when the answer is a fault, is late, or is not the expected one. The
                runner is of no further use then.
        """
        self.ready()  # its first frame says so, and is no answer to a request
        stage = str(getattr(request, "kind", "request"))
        try:
            send_frame(self._socket, request, fds, timeout_s=timeout_s)
        except WireError as error:
            raise self._lost(stage, str(error)) from error
        return self.answer(stage, expected, timeout_s)

    def answer(self, stage: str, expected: type[Answer], timeout_s: float) -> Answer:
        """Waits for the next frame, that of a request of which one was heard already.

        Raises:
            RunnerLostError: as `ask`.
        """
        try:
            answer, fds = recv_frame(self._socket, from_runner, ANSWER_BYTES, timeout_s=timeout_s)
            close_all(fds)
        except WireClosedError as error:
            raise self._lost(stage, self._ending()) from error
        except WireError as error:
            raise self._lost(stage, str(error)) from error
        if isinstance(answer, RunnerFault):
            raise self._lost(answer.stage, answer.message)
        if not isinstance(answer, expected):
            raise self._lost(stage, f"it answered with a {type(answer).__name__}")
        return answer

    def replayed(self, request: Replay, timeout_s: float) -> Replayed:
        """Has calls replayed, and waits for their times.

        Raises:
            RunnerLostError: as `ask`.
        """
        self.ask(request, ReplaysMade, timeout_s)
        return self.answer("replay", Replayed, timeout_s)

    def timed_ask(
        self, request: Message, expected: type[Answer], timeout_s: float
    ) -> tuple[Answer, int]:
        """Asks, and says how many nanoseconds passed here until the answer was there."""
        begin = time.perf_counter_ns()
        answer = self.ask(request, expected, timeout_s)
        return answer, time.perf_counter_ns() - begin

    def close(self) -> None:
        """Kills the process and every process of its group; never raises."""
        self._socket.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        remove_tree(self._folder)

    def _lost(self, stage: str, words: str) -> RunnerLostError:
        return RunnerLostError(stage, words[:1_000])

    def _ending(self) -> str:
        try:
            return f"it ended with status {self._process.wait(END_S)}"
        except subprocess.TimeoutExpired:
            return "it closed its socket"


def environment_of(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """A runner's environment: the kept variables, and places for the driver's own files."""
    kept = {name: value for name, value in environment.items() if name in KEPT_VARIABLES}
    own = {"HOME": str(folder), "TMPDIR": str(folder), "CUDA_MODULE_LOADING": "EAGER"}
    return {**kept, **own, "CUDA_CACHE_DISABLE": "1"}
