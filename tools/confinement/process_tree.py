"""Finds, stops and kills every process below others."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

STOP_S = 0.5
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
        if not new and all(_state(pid) in AT_REST for pid in stopped):
            break
    return list(stopped)


def _state(pid: int) -> str:
    """The letter of a process's state in /proc; that of a dead one when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def send_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants(*roots: int) -> list[int]:
    """Process ids of the descendants of some processes, from /proc, nearest first."""
    parents: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = Path(entry.path, "stat").read_text()
            parent = int(stat.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    edge = list(roots)
    while edge:
        edge = [child for parent in edge for child in parents.get(parent, [])]
        found += edge
    return found
