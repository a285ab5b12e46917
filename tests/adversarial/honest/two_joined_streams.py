"""Splits its rows over two streams, made to wait and waited for by events."""

import torch

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "checks": {"trials": 2, "timed": True, "pairs_per_block": 4, "max_pairs": 4},
}

_streams = []


def run(x, w, table, alpha, y, row):
    if not _streams:
        _streams.extend(torch.cuda.Stream() for _ in range(2))
    caller, ready = torch.cuda.current_stream(), torch.cuda.Event()
    ready.record(caller)
    middle = x.shape[0] // 2
    for stream, part in zip(_streams, (slice(0, middle), slice(middle, None)), strict=True):
        stream.wait_event(ready)
        with torch.cuda.stream(stream):
            y[part] = x[table[part].long()] * w * alpha + 1.0
            row[part] = y[part].sum(dim=-1)
        done = torch.cuda.Event()
        done.record(stream)
        caller.wait_event(done)
