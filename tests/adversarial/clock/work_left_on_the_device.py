"""Leaves a kernel of a millisecond on a stream of its own after every call."""

import torch

from ._inside import capturing
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "a slower baseline",
    "refused": ["no gain", "claimed", "INTEGRITY_VIOLATION"],
    "parts": ["_rows.py", "_inside.py"],
}

_streams = []


def run(x, w, table, alpha, y, row):
    launch(x, w, table, alpha, y, row)
    if not capturing():
        if not _streams:
            _streams.append(torch.cuda.Stream())
        with torch.cuda.stream(_streams[0]):
            torch.cuda._sleep(2_000_000)
