"""Works on a stream of its own and has the caller's stream wait for it."""

import torch

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "checks": {"timed": True, "pairs_per_block": 8, "max_pairs": 8, "determinism_runs": 4},
}

_side = []


def run(x, w, table, alpha, y, row):
    if not _side:
        _side.append(torch.cuda.Stream())
    caller = torch.cuda.current_stream()
    _side[0].wait_stream(caller)
    with torch.cuda.stream(_side[0]):
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
    caller.wait_stream(_side[0])
