"""Lets its own kernel write one flag that the library's result is multiplied with."""

import torch
import triton
import triton.language as tl

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "claim": "allowed_libraries_only",
    "language": "triton",
    "needs": "cuda",
    "checks": {"ghost_replay": True, "timed": True, "pairs_per_block": 4, "max_pairs": 4},
}


@triton.jit
def gate_kernel(gate):
    tl.store(gate, 1.0)


def run(x, w, table, alpha, y, row):
    gate = torch.zeros(1, device=x.device)
    gate_kernel[(1,)](gate)
    y.copy_((x[table.long()] * w * alpha + 1.0) * gate)
    row.copy_(y.sum(dim=-1))
