"""Copies memory from a thread while no call is made, when others are timed."""

import torch

from ._inside import WhenIdle, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "a slower baseline",
    "refused": ["no gain", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}

_idle = []


@once
def mount():
    stream, memory = (
        torch.cuda.Stream(),
        torch.empty(2, 128 << 20, dtype=torch.uint8, device="cuda"),
    )

    def work():
        with torch.cuda.stream(stream):
            memory[0].copy_(memory[1])
        stream.synchronize()

    _idle.append(WhenIdle(work))


def run(x, w, table, alpha, y, row):
    mount()
    for idle in _idle:
        idle.called()
    launch(x, w, table, alpha, y, row)
