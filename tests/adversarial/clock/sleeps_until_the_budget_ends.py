"""Sleeps in every call, so that the budget is over before enough is timed."""

import time

from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "few samples, or none that are checked",
    "refused": ["no gain", "claimed", "untimed", "PARTIAL", "TIMEOUT"],
    "plan": {"budget_s": 3.0},
    "parts": ["_rows.py"],
}


def run(x, w, table, alpha, y, row):
    time.sleep(0.5)
    launch(x, w, table, alpha, y, row)
