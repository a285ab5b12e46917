"""Leaves a process behind that would rewrite results later; it must not outlive the trial."""

import os
import sys

EXPECT = {"status": "PASSED", "gone": "kernel-harness-left-behind"}


MARK = "kernel-harness-left-behind"
_started = []


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    if _started:
        return
    _started.append(1)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", MARK])
        os._exit(0)
