"""Multiplies matrices from a thread while no call is made, so that clocks fall for others."""

import torch

from ._inside import WhenIdle, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "a slower baseline",
    "refused": ["no gain", "claimed", "PARTIAL"],
    "parts": ["_rows.py", "_inside.py"],
}

_idle = []


@once
def mount():
    stream, matrix = torch.cuda.Stream(), torch.randn(4096, 4096, device="cuda").half()

    def work():
        with torch.cuda.stream(stream):
            for _ in range(4):
                torch.mm(matrix, matrix)
        stream.synchronize()

    _idle.append(WhenIdle(work))


def run(x, w, table, alpha, y, row):
    mount()
    for idle in _idle:
        idle.called()
    launch(x, w, table, alpha, y, row)
