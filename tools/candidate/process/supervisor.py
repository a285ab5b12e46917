"""The process between the zygote and one candidate: starts it, publishes its build, reaps it.

The supervisor keeps the zygote's rights and runs no candidate code. It is the sub-reaper (or, in a
process namespace, the first process) of everything the candidate starts, so nothing outlives it.
It cannot stop what a kernel is doing on the device; it can end the process that owns the context.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ... import process_control
from ...folders import remove_tree
from ..sandbox import namespaces, syscalls
from ..sandbox.process_tree import descendants, kill_all

KILL_S = 5.0
PUBLISH_LINE_BYTES = 4096
_KEY = re.compile(r"[0-9a-z-]{8,120}\Z")


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
    """Body of the candidate process; takes the report and the publish descriptor."""
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
    publish_read, publish_write = (end.detach() for end in socket.socketpair())
    pid = os.fork()
    if pid == 0:
        os.close(publish_read)
        config.candidate(config.report, publish_write, made)
    _close((publish_write, *config.parental))
    requested = _publish_until_code_runs(publish_read, config)
    status = _wait_for(pid)
    _kill_descendants(first_process=made.processes)
    if config.cache is not None:
        for key, folder in requested:
            with contextlib.suppress(OSError):
                publish(folder, config.cache, key)
    _say(config.report, exit=os.waitstatus_to_exitcode(status))


def _publish_until_code_runs(publish_read: int, config: SupervisorConfig) -> list[tuple[str, Path]]:
    """Reads requests until the candidate shuts its end, which it does before loading any code.

    It then waits for this end to be closed, so that nothing is copied beside running code.

    Returns:
        What to publish when the candidate has ended: compiler caches that fill while it runs.
    """
    later: list[tuple[str, Path]] = []
    with os.fdopen(publish_read, "rb") as stream:
        while line := stream.readline(PUBLISH_LINE_BYTES):
            with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
                request = json.loads(line)
                key, folder = str(request["key"]), config.private / str(request["folder"])
                if not _KEY.match(key) or ".." in Path(str(request["folder"])).parts:
                    continue
                if request["when"] == "now" and config.cache is not None:
                    publish(folder, config.cache, key)
                elif request["when"] == "at_exit":
                    later.append((key, folder))
    return later


def publish(folder: Path, cache: Path, key: str, *, max_bytes: int = 512 << 20) -> bool:
    """Copies a finished folder into the cache by an atomic rename; the first one stays.

    Only regular files are copied, links are not followed, and a folder over `max_bytes` is left
    out whole.
    """
    target = cache / key
    if target.exists() or not folder.is_dir():
        return False
    draft = cache / f".draft-{key}-{os.getpid()}-{time.monotonic_ns()}"
    try:
        left = max_bytes
        for root, _, names in os.walk(folder, followlinks=False):
            place = draft / Path(root).relative_to(folder)
            place.mkdir(parents=True, exist_ok=True)
            for name in names:
                left -= _copy_regular(Path(root) / name, place / name, left)
                if left <= 0:
                    return False
        os.rename(draft, target)
    except OSError:
        return False
    finally:
        remove_tree(draft)
    return True


def _copy_regular(source: Path, target: Path, limit: int) -> int:
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as stream:
        state = os.fstat(stream.fileno())
        if (state.st_mode & 0o170000) != 0o100000 or state.st_size > limit:
            return limit
        with target.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        target.chmod(0o755 if state.st_mode & 0o100 else 0o644)
    return state.st_size + 1


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
