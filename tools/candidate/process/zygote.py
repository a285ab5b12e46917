"""The zygote: imports torch once, then forks one candidate process for each trial.

Forking from a process that has imported torch takes milliseconds where a new process takes
seconds. It never initialises CUDA, for a forked child could not use it. It runs no candidate code,
obeys the judge at its one socket, and survives whatever its children do.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ... import process_control
from ...confinement import syscalls
from ...confinement.process_tree import descendants, kill_all, send_all, stop_descendants
from ...messages.frames import TRUSTED_FRAME_BYTES, WireError
from ...messages.sockets import WireClosedError, close_all, recv_frame, send_frame
from ...messages.zygote import Pause, Paused, Reap, Reaped, Spawn, Spawned, to_zygote
from ..sandbox import namespaces
from ..sandbox.enter import SKIP_VARIABLE, skipped_steps
from .supervisor import SupervisorConfig, supervise

START_S = 30.0
REAP_S = 10.0
WARM_MODULES = (
    "numpy",
    "torch",
    "torch.utils._python_dispatch",
    "triton",
    "triton.language",
    "triton.runtime.autotuner",
    "triton.runtime.interpreter",
    "triton.testing",
    "cuda.bindings.driver",
    "cupti.cupti",
)
"""Imported before any fork where they exist; none of them initialises CUDA by being imported.

tvm_ffi is not among them: importing it asks torch for its devices, after which torch refuses CUDA
in every forked child.
"""


CACHE = "triton.runtime.cache"
COMPILES = "kernel_harness.tools.candidate.calls.warm_up_kernel"

_LEFT_OUT_IN_TURN = (
    ("pid", "userns", "mount"),
    ("net", "ipc", "uts", "uid"),
    ("landlock", "not_dumpable", "seccomp"),
)
"""Steps that are left out, one group after another, until a candidate comes up."""


@dataclass
class _Child:
    """The supervisor of one candidate, and the pipe of its reports."""

    supervisor: int
    report: int
    unread: bytes = b""


class Zygote:
    """Serves the judge's socket.

    Args:
        control: the inherited end of the socket pair.
        interpret: whether candidates run Triton's interpreter.
    """

    def __init__(self, control: socket.socket, *, interpret: bool) -> None:
        self._control = control
        self._interpret = interpret
        self._children: dict[int, _Child] = {}
        self._stopped: list[int] = []
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        """Answers until the judge closes its end, then leaves nothing alive."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in poll.poll()}
                if self._wake_read in ready:
                    self._reap_ended()
                if self._control.fileno() in ready:
                    self._answer()
        except (WireClosedError, WireError):
            return
        finally:
            kill_all(descendants(os.getpid()))

    def _answer(self) -> None:
        message, fds = recv_frame(self._control, to_zygote, TRUSTED_FRAME_BYTES)
        try:
            if isinstance(message, Spawn):
                send_frame(self._control, self._spawn(message, fds))
            elif isinstance(message, Pause):
                send_frame(self._control, self._pause(message))
            else:
                send_frame(self._control, self._reap(message))
        finally:
            close_all(fds)

    def _spawn(self, spawn: Spawn, fds: list[int]) -> Spawned:
        """Starts a candidate; one that does not come up is started again with fewer steps.

        No code of a candidate has run by then: it is a step of the sandbox that failed.
        """
        if len(fds) != 2:
            return Spawned(pid=0, granted=[], missing=["spawn: two descriptors are needed"])
        left_out: tuple[str, ...] = ()
        spawned = self._spawn_once(spawn, fds)
        for more in _LEFT_OUT_IN_TURN:
            if spawned.pid:
                break
            left_out += more
            skipped = ",".join([spawn.environment.get(SKIP_VARIABLE, ""), *left_out])
            environment = spawn.environment | {SKIP_VARIABLE: skipped}
            spawned = self._spawn_once(spawn.model_copy(update={"environment": environment}), fds)
        return spawned

    def _spawn_once(self, spawn: Spawn, fds: list[int]) -> Spawned:
        skipped = skipped_steps(spawn.environment)
        own_users = os.geteuid() != 0 and "userns" not in skipped
        own_users = own_users and namespaces.user_namespace_possible()
        read, write = os.pipe()
        zygote = os.getpid()
        try:
            supervisor = os.fork()
        except OSError as error:
            close_all([read, write])
            return Spawned(pid=0, granted=[], missing=[f"spawn: {error}"])
        if supervisor == 0:
            self._become_supervisor(zygote, spawn, (fds[0], fds[1]), write, own_users=own_users)
        os.close(write)
        child = _Child(supervisor, read)
        # Two processes write these, and on a busy machine the candidate may be the first.
        said = self._read_until(child, {"supervisor", "granted"}, START_S)
        if not {"supervisor", "granted"} <= set(said):
            self._discard(child)
            return Spawned(pid=0, granted=[], missing=["spawn: the candidate did not settle"])
        pid = _candidate_pid(said)
        self._children[pid] = child
        return Spawned(pid=pid, granted=said["granted"], missing=said["missing"])

    def _become_supervisor(
        self, zygote: int, spawn: Spawn, fds: tuple[int, int], report: int, *, own_users: bool
    ) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        from .serve import become_candidate

        control, log = fds
        syscalls.close_descriptors_except({control, log, report})
        skipped = skipped_steps(spawn.environment)
        supervise(
            SupervisorConfig(
                zygote=zygote,
                report=report,
                private=Path(spawn.private_dir),
                cache=Path(spawn.cache_dir) if spawn.cache_dir else None,
                own_processes=not spawn.cuda and "pid" not in skipped,
                own_users=own_users,
                candidate=lambda report, builds, made: become_candidate(
                    spawn,
                    control,
                    log,
                    report,
                    builds,
                    interpret=self._interpret,
                    made=made,
                ),
                parental=(control, log),
            )
        )

    def _reap(self, request: Reap) -> Reaped:
        child = self._children.pop(request.pid, None)
        if child is None:
            return Reaped(pid=request.pid, exit_status=None)
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(request.pid, signal.SIGKILL)
        said = self._read_until(child, {"exit"}, REAP_S)
        self._discard(child)
        return Reaped(pid=request.pid, exit_status=said.get("exit"))

    def _pause(self, request: Pause) -> Paused:
        if request.stop:
            children = (c for pid, c in self._children.items() if pid not in request.spared)
            self._stopped = stop_descendants(child.supervisor for child in children)
            return Paused(count=len(self._stopped))
        going, self._stopped = self._stopped, []
        send_all(going, signal.SIGCONT)
        return Paused(count=len(going))

    def _read_until(self, child: _Child, words: set[str], seconds: float) -> dict[str, Any]:
        """Collects reports of supervisor and candidate until they hold all `words` or end."""
        said: dict[str, Any] = {}
        deadline = time.monotonic() + seconds
        while True:
            while b"\n" in child.unread:
                line, _, child.unread = child.unread.partition(b"\n")
                with contextlib.suppress(ValueError, TypeError):
                    said |= json.loads(line)
            left = deadline - time.monotonic()
            if (
                words <= set(said)
                or left <= 0
                or not select.select([child.report], [], [], left)[0]
            ):
                return said
            part = os.read(child.report, 65536)
            if not part:
                return said
            child.unread += part

    def _discard(self, child: _Child) -> None:
        """Reaps a finished supervisor and any orphaned child of it."""
        os.close(child.report)
        kill_all([*descendants(child.supervisor), child.supervisor])
        self._reap_ended()
        supervisors = {w.supervisor for w in self._children.values()}
        kill_all(_orphans(supervisors))
        self._reap_ended()

    def _reap_ended(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _orphans(supervisors: set[int]) -> list[int]:
    mine = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):
        return [pid for pid in map(int, mine.read_text().split()) if pid not in supervisors]
    return []


def _candidate_pid(said: dict[str, Any]) -> int:
    """The candidate's id as seen from here, else its supervisor's: ending that ends both."""
    supervisor = int(said["supervisor"])
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])
    return supervisor


def import_modules(*, interpret: bool) -> None:
    """Imports what candidates will need, so that a fork has it already."""
    if interpret:
        os.environ["TRITON_INTERPRET"] = "1"  # noqa: TID251 - read by triton as it is imported
    hashing = threading.Thread(target=_hash_triton, name="hashes Triton")
    with contextlib.suppress(Exception):
        importlib.import_module(CACHE)
        hashing.start()
    for name in WARM_MODULES:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    from ..cpu.triton_patches import patch_interpreter  # which imports torch

    if interpret:
        patch_interpreter()
    if hashing.ident is not None:
        hashing.join()  # no thread may run when something is forked
    if not interpret:
        with contextlib.suppress(Exception):
            importlib.import_module(COMPILES).compile_alone()


def _hash_triton() -> None:
    """Has Triton hash its whole installation: a second of work that every fork would repeat."""
    with contextlib.suppress(Exception):
        importlib.import_module(CACHE).triton_key()


def main(arguments: list[str]) -> int:
    """Runs the zygote until the judge goes away."""
    parser = argparse.ArgumentParser(prog="kernel_harness.tools.candidate")
    parser.add_argument("--socket", type=int, required=True, help="inherited stream socket")
    parser.add_argument("--interpret", action="store_true", help="run Triton's interpreter")
    options = parser.parse_args(arguments)
    process_control.die_with_parent()
    syscalls.become_subreaper()
    import_modules(interpret=options.interpret)
    from . import serve  # noqa: F401 - loads the rest of the package before any fork

    # A full collection in a fork would walk, and so copy, all that was imported here.
    gc.collect()
    gc.freeze()
    process_control.forbid_dumps()
    os.set_inheritable(options.socket, False)
    Zygote(socket.socket(fileno=options.socket), interpret=options.interpret).serve()
    return 0
