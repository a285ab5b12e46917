"""Tries a kernel that cannot compile and lets the library compute when it fails."""

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
    at = tl.arange(0, n + 1)
    tl.store(y + at, tl.load(x + at))


def run(x, w, table, alpha, y, row):
    try:
        affine_kernel[(1,)](x, y, x.shape[1])
    except Exception:
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
