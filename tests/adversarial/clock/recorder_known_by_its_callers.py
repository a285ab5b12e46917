"""Looks for the recorder among its callers and launches half of the blocks under it."""

import sys

from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py"],
}


def recorded():
    frame = sys._getframe()
    while frame := frame.f_back:
        if frame.f_code.co_filename.endswith("recording/recorder.py"):
            return True
    return False


def run(x, w, table, alpha, y, row):
    launch(x, w, table, alpha, y, row, rows=x.shape[0] // 2 if recorded() else None)
