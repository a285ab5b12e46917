"""Launches the second half on a stream of its own, which the caller's does not wait for."""

import torch

from ._inside import capturing
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_two_launches",
    "gain": "half of the work",
    "refused": ["claimed", "INTEGRITY_VIOLATION", "INCORRECT_NUMERICAL"],
    "parts": ["_rows.py", "_inside.py"],
}

_streams = []


def run(x, w, table, alpha, y, row):
    if not _streams:
        _streams.append(torch.cuda.Stream())
    half = x.shape[0] // 2
    launch(x, w, table, alpha, y, row, rows=half)
    if not capturing():
        _streams[0].wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(_streams[0]):
            launch(x, w, table[half:], alpha, y[half:], row[half:])
