"""Signals its parent, the first process and everybody else, and computes nothing."""

import contextlib
import os
import signal

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}


def run(x, w, table, alpha, y, row):
    for target in (os.getppid(), 1, -1):
        for number in (signal.SIGSTOP, signal.SIGKILL):
            with contextlib.suppress(OSError):
                os.kill(target, number)
