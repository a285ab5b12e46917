"""Launches a fixed number of programs, each of which walks over many rows."""

import triton
import triton.language as tl

EXPECT = {
    "long": True,
    "status": "PASSED",
    "language": "triton",
    "checks": {"trials": 2, "families": 1},
}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr):
    at = tl.arange(0, n)
    weight = tl.load(w + at)
    for line in range(tl.program_id(0), m, tl.num_programs(0)):
        source = tl.load(table + line)
        value = tl.load(x + source * n + at) * weight * alpha + 1.0
        tl.store(y + line * n + at, value)
        tl.store(row + line, tl.sum(value))


def run(x, w, table, alpha, y, row):
    affine_kernel[(8,)](x, w, table, alpha, y, row, x.shape[0], x.shape[1])
