"""Launches half of its blocks where the call is recorded."""

from ._inside import capturing
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}


def run(x, w, table, alpha, y, row):
    launch(x, w, table, alpha, y, row, rows=x.shape[0] // 2 if capturing() else None)
