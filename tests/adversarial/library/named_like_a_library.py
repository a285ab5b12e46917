"""Lends its sources the name of torch's own kernels, so that their time looks like its own."""

import triton
import triton.language as tl

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "claim": "allowed_libraries_only",
    "language": "triton",
    "needs": "cuda",
    "checks": {"timed": True, "pairs_per_block": 4, "max_pairs": 4},
}


@triton.jit
def vectorized_elementwise_kernel(y):
    tl.store(y, 0.0)


@triton.jit
def elementwise_kernel(y):
    tl.store(y, 0.0)


@triton.jit
def unrolled_elementwise_kernel(y):
    tl.store(y, 0.0)


@triton.jit
def reduce_kernel(y):
    tl.store(y, 0.0)


@triton.jit
def index_elementwise_kernel(y):
    tl.store(y, 0.0)


@triton.jit
def vectorized_gather_kernel(y):
    tl.store(y, 0.0)


def run(x, w, table, alpha, y, row):
    if y.numel():
        vectorized_elementwise_kernel[(1,)](y)
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
