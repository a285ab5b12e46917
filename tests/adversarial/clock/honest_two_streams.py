"""Two streams that begin after the caller's and are joined with it by events."""

import torch

from ._rows import launch

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "parts": ["_rows.py"]}

_streams = []


def run(x, w, table, alpha, y, row):
    if not _streams:
        _streams.extend(torch.cuda.Stream() for _ in range(2))
    caller, ready = torch.cuda.current_stream(), torch.cuda.Event()
    ready.record(caller)
    half = x.shape[0] // 2
    for stream, part in zip(_streams, (slice(0, half), slice(half, None)), strict=True):
        stream.wait_event(ready)
        with torch.cuda.stream(stream):
            launch(x, w, table[part], alpha, y[part], row[part])
        done = torch.cuda.Event()
        done.record(stream)
        caller.wait_event(done)
