"""Declares a language, defines a kernel, and calls a library for all of the work."""

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
def affine_kernel(x, y, n: tl.constexpr):
    tl.store(y + tl.arange(0, n), tl.load(x + tl.arange(0, n)))


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
