"""Adds atomically into an output that nobody zeroed."""

import triton
import triton.language as tl

EXPECT = {"status": "INCORRECT_NUMERICAL", "language": "triton"}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, n: tl.constexpr):
    m, at = tl.program_id(0), tl.arange(0, n)
    value = tl.load(x + tl.load(table + m) * n + at) * tl.load(w + at) * alpha + 1.0
    tl.store(y + m * n + at, value)
    tl.atomic_add(row + m, tl.sum(value))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, n)
