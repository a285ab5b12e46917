"""Replaces the method that flushes the L2 by one that does nothing."""

from ._inside import module, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_short",
    "gain": "the loads of inputs",
    "refused": ["no gain"],
    "parts": ["_rows.py", "_inside.py"],
}


@once
def mount():
    module("candidate.calls.cuda_clock").DeviceClock._chill = lambda self: None


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row, work=0)
