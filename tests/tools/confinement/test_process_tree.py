"""Every process below another is stopped, also one that is started meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernel_harness.tools.confinement.process_tree import (
    descendants,
    kill_all,
    send_all,
    stop_descendants,
)

TREE = r"""
import os
if os.fork() == 0:
    os.setsid()
    os.fork()
    os.write(1, b"up\n")
    while True:
        if os.fork() == 0:
            os._exit(0)
        os.wait()
os.write(1, b"up\n")
os.read(0, 1)
"""


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def running(root: int) -> list[tuple[int, str]]:
    """Descendants that are not at rest, with their states."""
    states = [(pid, state(pid)) for pid in descendants(root)]
    return [(pid, letter) for pid, letter in states if letter not in ("T", "Z", "X", "gone")]


@pytest.mark.process
def test_processes_that_start_others_in_sessions_of_their_own_are_stopped_and_go_on():
    command = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    root = subprocess.Popen(
        [*command, sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert root.stdout is not None
    try:
        for _ in range(3):
            assert root.stdout.readline() == b"up\n"
        stopped = stop_descendants([root.pid])
        deadline = time.monotonic() + 10
        while running(root.pid) and time.monotonic() < deadline:  # a busy machine stops none soon
            stopped += [pid for pid in stop_descendants([root.pid]) if pid not in stopped]
        assert len(stopped) >= 3
        assert not running(root.pid)
        assert state(root.pid) in "SR"
        send_all(stopped, signal.SIGCONT)
        assert not [pid for pid in descendants(root.pid) if state(pid) == "T"]
    finally:
        kill_all([*descendants(root.pid), root.pid])
        root.wait()
