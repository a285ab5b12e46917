"""Starts candidate processes, exchanges messages with them and ends them.

A candidate's answers are untrusted. A process that dies, hangs or answers out of turn gives a
`ProcessLost`, never an exception: an exception means that the zygote, a process of ours, failed.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from ...errors import InfrastructureError
from ...folders import remove_tree
from ...messages.candidate import (
    BuildRequest,
    Built,
    Called,
    CandidateRequest,
    Collected,
    Compiled,
    Exit,
    Mapped,
    Prepare,
    Prepared,
    Recorded,
    Traced,
    from_candidate,
)
from ...messages.frames import CANDIDATE_FRAME_BYTES, TRUSTED_FRAME_BYTES, WireError
from ...messages.sockets import (
    WireClosedError,
    WireTimeoutError,
    close_all,
    readable,
    recv_frame,
    send_frame,
)
from ...messages.zygote import Pause, Paused, Reap, Reaped, Spawn, Spawned, from_zygote
from ...settings import candidate_environment
from ...text import shorten
from . import triton_cache
from .cleanup import private_folder
from .device import FAKE_TARGET, device_facts
from .log_pipe import LogPipe
from .lost import EXCERPT_CHARACTERS, ProcessLost, describe_exit, describe_frame

ZYGOTE_TIMEOUT_S = 90.0
SEND_TIMEOUT_S = 1.0
"""At most one request is in flight, so its socket is full only if the candidate reads nothing."""
SEND_SOURCES_TIMEOUT_S = 60.0
PREPARE_TIMEOUT_S = 60.0

R = TypeVar("R", Prepared, Mapped, Built, Compiled, Called, Recorded, Traced, Collected)


class CandidateSession(Protocol):
    """A candidate that takes requests; implemented by a process, and by scripts in tests."""

    granted: Sequence[str]
    missing: Sequence[str]

    def ask(self, message: CandidateRequest, fds: Sequence[int] = ()) -> None:
        """Sends a request without waiting for its answer."""

    def answer(self, kind: type[R], timeout_s: float) -> R | ProcessLost:
        """Waits for the answer to the request before."""
        ...

    def spoke(self) -> bool:
        """Whether `answer` need not wait."""
        ...

    def recorded(self, timeout_s: float) -> tuple[Recorded, list[int]] | ProcessLost:
        """Waits for the answer to a request to record, and takes the descriptors beside it."""
        ...

    def log(self) -> str:
        """Its output so far, shortened."""
        ...

    def close(self) -> None:
        """Ends it and everything that it started."""


def request(
    session: CandidateSession,
    message: CandidateRequest,
    kind: type[R],
    timeout_s: float,
    fds: Sequence[int] = (),
) -> R | ProcessLost:
    """Sends a request and waits for its answer."""
    session.ask(message, fds)
    return session.answer(kind, timeout_s)


class ZygoteGoneError(InfrastructureError):
    """Raised when a zygote was killed, by a lack of memory or by a person."""


@dataclass(frozen=True)
class SpawnOptions:
    """Options of every candidate process of one judge.

    Args:
        cache_dir: finished builds, by content.
        memory_bytes: most host memory; None: not limited.
        triton_seed: Triton's own driver stubs, compiled by a process of ours.
        signing_key: a file that no candidate may read.
    """

    cache_dir: Path | None
    cuda: bool
    memory_bytes: int | None = None
    triton_seed: Path | None = None
    signing_key: Path | None = None


class ZygoteHandle:
    """Starts and addresses a zygote: a process that has imported torch and forks candidates."""

    def __init__(self, options: SpawnOptions, *, interpret: bool) -> None:
        self._options = options
        self._interpret = interpret
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [
            sys.executable,
            "-P",
            "-m",
            "kernel_harness.tools.candidate",
            "--socket",
            str(theirs.fileno()),
        ]
        self._process = subprocess.Popen(
            [*command, "--interpret"] if interpret else command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=candidate_environment(),
        )
        theirs.close()

    def spawn(self, target: str = FAKE_TARGET) -> ProcessSession:
        """Forks one candidate process.

        Args:
            target: architecture of the device that it finds where there is none, e.g. 'sm_90'.

        Raises:
            InfrastructureError: when the zygote is gone or does not answer.
        """
        private = private_folder()
        private.chmod(0o711)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        log = LogPipe()
        message = Spawn(
            private_dir=str(private),
            cache_dir=str(self._options.cache_dir) if self._options.cache_dir else None,
            environment=candidate_environment(),
            memory_bytes=self._options.memory_bytes,
            cuda=self._options.cuda,
            signing_key=str(self._options.signing_key) if self._options.signing_key else None,
            fake_device=None if self._options.cuda else device_facts(target),
        )
        with theirs:
            try:
                answer = self._request(message, [theirs.fileno(), log.write])
            except InfrastructureError:
                ours.close()
                remove_tree(private)
                raise
            finally:
                log.started()
        if not isinstance(answer, Spawned):
            raise InfrastructureError(f"The zygote answered {answer.kind!r} to a spawn request")
        if answer.pid == 0:
            ours.close()
            remove_tree(private)
            log.join()
            words = [*answer.missing, shorten(log.text()[-600:], EXCERPT_CHARACTERS)]
            raise InfrastructureError(
                f"No candidate process could be started: {'; '.join(filter(None, words))}",
                where="tools.candidate",
                remedy="Look for limits on processes or memory; check_environment says more.",
            )
        session = ProcessSession(self, answer, ours, log, private)
        if self._options.triton_seed is not None and self._options.triton_seed.is_dir():
            triton_cache.copy_kernels(self._options.triton_seed, session.triton_cache)
        return session

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def another(self) -> ZygoteHandle:
        """Ends this zygote and starts another with the same options; in the main thread only.

        A zygote dies with the thread that started it.
        """
        self.close()
        return ZygoteHandle(self._options, interpret=self._interpret)

    def reap(self, pid: int) -> int | None:
        """Kills a candidate and its descendants; returns its exit code, or minus the signal."""
        answer = self._request(Reap(pid=pid))
        return answer.exit_status if isinstance(answer, Reaped) else None

    @contextlib.contextmanager
    def paused(self, spared: Collection[int] = ()) -> Iterator[None]:
        """Stops every candidate but those spared, and what descends from it, meanwhile.

        What one has enqueued on the device runs to its end all the same.
        """
        self._request(Pause(stop=True, spared=list(spared)))
        try:
            yield
        finally:
            self._request(Pause(stop=False))

    def close(self) -> None:
        """Ends the zygote and with it its candidates."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _request(
        self, message: Spawn | Reap | Pause, fds: Sequence[int] = ()
    ) -> Spawned | Reaped | Paused:
        with self._lock:
            try:
                send_frame(self._socket, message, fds)
                answer, received = recv_frame(
                    self._socket, from_zygote, TRUSTED_FRAME_BYTES, timeout_s=ZYGOTE_TIMEOUT_S
                )
            except (WireError, OSError) as error:
                gone = isinstance(error, WireClosedError)
                raise (ZygoteGoneError if gone else InfrastructureError)(
                    f"The process that starts candidates cannot be talked to: {error}",
                    where="tools.candidate",
                    remedy="Evaluate again; should it happen twice, look for a lack of memory.",
                ) from error
        close_all(received)
        return answer


class ProcessSession:
    """A candidate process; made by `ZygoteHandle.spawn`."""

    def __init__(
        self,
        zygote: ZygoteHandle,
        spawned: Spawned,
        sock: socket.socket,
        log: LogPipe,
        private: Path,
    ) -> None:
        self.pid = spawned.pid
        self.granted: Sequence[str] = spawned.granted
        self.missing: Sequence[str] = spawned.missing
        self._zygote = zygote
        self._socket = sock
        self._log = log
        self._private = private
        self._closing = threading.Lock()
        self._closed = False
        self._lost: ProcessLost | None = None
        self._preparing = False
        self.exit_status: int | None = None

    def prepare(self, device_index: int, scratch_library: str = "") -> None:
        """Asks it to make its CUDA context; the next answer waits for that first.

        Args:
            scratch_library: base64 of the compiled allocator, for a process that records calls.
        """
        self.ask(Prepare(device_index=device_index, scratch_library=scratch_library))
        self._preparing = True

    def answered(self) -> bool:
        """Whether `prepared` need not wait."""
        return not self._preparing or readable(self._socket)

    def prepared(self) -> bool:
        """Waits for its CUDA context; False when the process is gone or has sent anything else."""
        if not self.came_up():
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def came_up(self) -> bool:
        """Waits for its CUDA context; False when there is none, which is no candidate's fault."""
        if self._preparing:
            self._preparing = False
            self.answer(Prepared, PREPARE_TIMEOUT_S)
        return self._lost is None

    def ask(self, message: CandidateRequest, fds: Sequence[int] = ()) -> None:
        """Sends a request; that the candidate is gone shows in `answer`."""
        if self._lost is not None:
            return
        timeout_s = SEND_SOURCES_TIMEOUT_S if isinstance(message, BuildRequest) else SEND_TIMEOUT_S
        try:
            with contextlib.suppress(WireClosedError, OSError):
                send_frame(self._socket, message, fds, timeout_s=timeout_s)
        except WireTimeoutError:
            self._lost = self._lose("protocol", "It takes none of the judge's requests.")

    def answer(self, kind: type[R], timeout_s: float) -> R | ProcessLost:
        """Waits for the answer; anything else than the expected kind in time ends the process."""
        found = self._received(kind, timeout_s)
        if isinstance(found, ProcessLost):
            return found
        close_all(found[1])
        return found[0]

    def spoke(self) -> bool:
        """Whether an answer has begun to arrive, or none will."""
        return self._lost is not None or readable(self._socket)

    def recorded(self, timeout_s: float) -> tuple[Recorded, list[int]] | ProcessLost:
        """Waits for a recording; its descriptors are the caller's to close."""
        return self._received(Recorded, timeout_s)

    def traced(self, timeout_s: float) -> tuple[Traced, list[int]] | ProcessLost:
        """Waits for a trace; its descriptors are the caller's to close."""
        return self._received(Traced, timeout_s)

    def compiled(self, timeout_s: float) -> tuple[Compiled, list[int]] | ProcessLost:
        """Waits for compiled code; its descriptors are the caller's to close."""
        return self._received(Compiled, timeout_s)

    def _received(self, kind: type[R], timeout_s: float) -> tuple[R, list[int]] | ProcessLost:
        self.came_up()
        if self._lost is not None:
            return self._lost
        try:
            message, fds = recv_frame(
                self._socket, from_candidate, CANDIDATE_FRAME_BYTES, timeout_s=timeout_s
            )
        except WireTimeoutError:
            return self._lose("timeout", f"It did not answer within {timeout_s:.3g} s.")
        except (WireClosedError, OSError):
            return self._lose("crash", "")
        except WireError as error:
            return self._lose("protocol", describe_frame(error))
        if not isinstance(message, kind):
            close_all(fds)
            return self._lose("protocol", f"It answered {message.kind!r} out of turn.")
        return message, fds

    @property
    def triton_cache(self) -> Path:
        """Folder of its compiled Triton kernels, writable by the candidate."""
        return self._private / triton_cache.FOLDER

    def log(self) -> str:
        """Its output so far, shortened."""
        if self._closed:
            self._log.join()
        return self._log.text()

    def ask_to_exit(self) -> None:
        """Asks the process to end, and waits for nothing: several go at once, `close` waits."""
        with contextlib.suppress(WireError, OSError):
            if not self._closed:
                send_frame(self._socket, Exit(), timeout_s=SEND_TIMEOUT_S)

    def close(self) -> None:
        """Ends the process and its descendants; safe from any thread, and twice."""
        self.ask_to_exit()
        with self._closing:
            if self._closed:
                return
            self._closed = True
            try:
                self.exit_status = self._zygote.reap(self.pid)
            finally:
                self._socket.close()
                remove_tree(self._private)

    def _lose(self, kind: str, detail: str) -> ProcessLost:
        self.close()
        if kind == "crash":
            detail = f"The candidate's process {describe_exit(self.exit_status)}."
        self._lost = ProcessLost(kind, detail, self.exit_status)
        return self._lost
