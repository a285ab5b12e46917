"""Reads the flushed buffer after the flush, so that its lines are written back before the call."""

import torch

from ._inside import module, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_short",
    "gain": "the stores of lines that the flush left dirty",
    "refused": ["no gain"],
    "parts": ["_rows.py", "_inside.py"],
}


@once
def mount():
    clock = module("candidate.calls.cuda_clock").DeviceClock
    honest = clock._chill

    def chill(self):
        honest(self)
        self._scratch.view(torch.int32).sum()

    clock._chill = chill


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row, work=0)
