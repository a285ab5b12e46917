"""Finds, stops and kills every process below others."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator

STOP_S = 0.5
STAT_BYTES = 1 << 10
"""A process's name has at most 15 characters, and each of some fifty numbers at most 20 digits."""
AT_REST = "TtZX"
"""States of processes that were stopped, that are traced, and that have ended."""


def kill_all(pids: Iterator[int] | list[int]) -> None:
    """Sends SIGKILL to each process that still exists."""
    send_all(pids, signal.SIGKILL)


def stop_descendants(roots: Iterable[int]) -> list[int]:
    """Stops every descendant of some processes; returns the ids of those that were sent SIGSTOP.

    One may start another before it stops: they are looked for until all that are found are at rest.
    """
    roots, deadline = list(roots), time.monotonic() + STOP_S
    stopped: dict[int, None] = {}
    while time.monotonic() < deadline:
        new = [pid for pid in descendants(*roots) if pid not in stopped]
        send_all(new, signal.SIGSTOP)
        stopped |= dict.fromkeys(new)
        moving = new
        while moving and time.monotonic() < deadline:
            moving = [pid for pid in moving if _state(pid) not in AT_REST]
        if not new:
            break
    return list(stopped)


def _state(pid: int) -> str:
    """The letter of a process's state in /proc; that of a dead one when it is gone."""
    facts = _facts(pid)
    return facts[0].decode("ascii", "replace") if facts else "X"


def _facts(pid: int | str) -> list[bytes]:
    """State and parent of a process, from /proc; empty when it is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return []
    try:
        # One short read: hundreds of processes are looked at while candidates wait to be stopped.
        return os.read(descriptor, STAT_BYTES).rpartition(b")")[2].split(None, 2)[:2]
    except OSError:
        return []
    finally:
        os.close(descriptor)


def send_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants(*roots: int) -> list[int]:
    """Process ids of the descendants of some processes, from /proc, nearest first."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if len(facts := _facts(name)) == 2:
            parents.setdefault(int(facts[1]), []).append(int(name))
    found: list[int] = []
    edge = list(roots)
    while edge:
        edge = [child for parent in edge for child in parents.get(parent, [])]
        found += edge
    return found
