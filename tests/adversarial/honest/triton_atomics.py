"""Adds partial sums with atomics into an output that it zeroes first."""

import triton
import triton.language as tl

EXPECT = {"long": True, "status": "PASSED", "language": "triton", "checks": {"trials": 2}}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, n: tl.constexpr, BLOCK: tl.constexpr):
    m, part = tl.program_id(0), tl.program_id(1)
    at = part * BLOCK + tl.arange(0, BLOCK)
    source = tl.load(table + m)
    value = tl.load(x + source * n + at) * tl.load(w + at) * alpha + 1.0
    tl.store(y + m * n + at, value)
    tl.atomic_add(row + m, tl.sum(value))


def run(x, w, table, alpha, y, row):
    row.zero_()
    m, n = x.shape
    if m:
        affine_kernel[(m, n // 32)](x, w, table, alpha, y, row, n, 32)  # pyright: ignore[reportArgumentType]
