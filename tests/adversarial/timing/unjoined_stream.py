"""Works on a stream that the caller's stream does not wait for, where events see nothing of it."""

import torch

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "work_is_joined", "needs": "cuda"}

_side = []


def run(x, w, table, alpha, y, row):
    if not _side:
        _side.append(torch.cuda.Stream())
    _side[0].wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(_side[0]):
        torch.cuda._sleep(4_000_000)
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
