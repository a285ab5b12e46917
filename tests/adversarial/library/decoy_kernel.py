"""Launches a kernel of its own that matters to nobody, and has a library compute the outputs."""

import torch
import triton
import triton.language as tl

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "claim": "own_kernels_do_the_work",
    "language": "triton",
    "checks": {"ghost_replay": True},
}


@triton.jit
def affine_kernel(scratch):
    tl.store(scratch, 0.0)


def run(x, w, table, alpha, y, row):
    affine_kernel[(1,)](torch.empty(1, device=x.device))
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
