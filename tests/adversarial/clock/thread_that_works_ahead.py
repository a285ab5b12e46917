"""Has a thread launch the work on a stream of its own and waits for it on the host."""

from concurrent.futures import ThreadPoolExecutor

import torch

from ._inside import capturing
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "all of the work, which no recorded stream holds",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}

_pool = ThreadPoolExecutor(1)
_streams = []


def work(*arguments):
    if not _streams:
        _streams.append(torch.cuda.Stream())
    with torch.cuda.stream(_streams[0]):
        launch(*arguments)
    _streams[0].synchronize()


def run(x, w, table, alpha, y, row):
    row.zero_()
    done = torch.cuda.Event()
    if not capturing():
        done.record()
        done.synchronize()
    _pool.submit(work, x, w, table, alpha, y, row).result()
