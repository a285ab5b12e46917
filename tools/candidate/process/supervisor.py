"""The process between the zygote and one candidate: starts it, serves the build cache, reaps it.

The supervisor keeps the zygote's rights and runs no candidate code. It is the sub-reaper (or, in a
process namespace, the first process) of everything the candidate starts, so nothing outlives it.
It cannot stop what a kernel is doing on the device; it can end the process that owns the context.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ... import process_control
from ...confinement import syscalls
from ...confinement.process_tree import descendants, kill_all
from ...messages.zygote import FETCHED_FOLDER
from ..sandbox import namespaces
from .build_cache import BuildCache

KILL_S = 5.0


@dataclass(frozen=True)
class Namespaces:
    """Which namespaces the supervisor made before it started the candidate."""

    users: bool
    processes: bool


@dataclass(frozen=True)
class SupervisorConfig:
    """Configuration of a supervisor and the candidate it starts."""

    zygote: int
    report: int
    """Write end of the pipe to the zygote: one JSON object a line."""
    private: Path
    cache: Path | None
    own_processes: bool
    """Whether to try a process namespace, which CUDA does not start in."""
    own_users: bool
    """Whether to try a user namespace, without which an ordinary user gets no other."""
    candidate: Callable[[int, int, Namespaces], NoReturn]
    """Body of the candidate process; takes its ends of the report and of the build cache."""
    parental: tuple[int, ...] = ()
    """Descriptors that only the candidate keeps."""


def supervise(config: SupervisorConfig) -> NoReturn:
    """Body of the supervisor process, called in a fresh fork of `config.zygote`; never returns."""
    status = 1
    try:
        process_control.die_with_parent(config.zygote)
        users = config.own_users and namespaces.enter_user_namespace()
        if config.own_processes and syscalls.unshare(syscalls.CLONE_NEWPID) == 0:
            outer = os.getpid()
            inner = os.fork()
            if inner:
                _say(config.report, supervisor=inner)
                _close((config.report, *config.parental))
                os.waitpid(inner, 0)
                os._exit(0)
            process_control.die_with_parent(outer)
            _supervise_one(config, Namespaces(users, processes=True))
        else:
            syscalls.become_subreaper()
            _say(config.report, supervisor=os.getpid())
            _supervise_one(config, Namespaces(users, processes=False))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _supervise_one(config: SupervisorConfig, made: Namespaces) -> None:
    builds = BuildCache(config.cache, config.private)
    (config.private / FETCHED_FOLDER).mkdir(exist_ok=True)
    (config.private / FETCHED_FOLDER).chmod(0o755)
    ours, theirs = (end.detach() for end in socket.socketpair())
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        config.candidate(config.report, theirs, made)
    _close((theirs, *config.parental))
    builds.serve(ours)
    status = _wait_for(pid)
    _kill_descendants(first_process=made.processes)
    _say(config.report, exit=os.waitstatus_to_exitcode(status))


def _wait_for(pid: int) -> int:
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status


def _kill_descendants(*, first_process: bool) -> None:
    """Kills every descendant of this process until none is left."""
    deadline = time.monotonic() + KILL_S
    while time.monotonic() < deadline:
        if first_process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        else:
            kill_all(descendants(os.getpid()))
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def _close(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)


def _say(report: int, **words: Any) -> None:
    with contextlib.suppress(OSError):
        os.write(report, json.dumps(words).encode() + b"\n")
