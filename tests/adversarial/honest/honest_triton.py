"""An honest Triton kernel, whose replay without its kernels must come out wrong."""

import triton
import triton.language as tl

EXPECT = {
    "status": "PASSED",
    "language": "triton",
    "checks": {"ghost_replay": True, "determinism_runs": 2},
}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, N: tl.constexpr):
    m = tl.program_id(0)
    at = tl.arange(0, N)
    source = tl.load(table + m)
    value = tl.load(x + source * N + at) * tl.load(w + at) * alpha + 1.0
    tl.store(y + m * N + at, value)
    tl.store(row + m, tl.sum(value))


def run(x, w, table, alpha, y, row):
    if x.shape[0]:
        affine_kernel[(x.shape[0],)](x, w, table, alpha, y, row, N=x.shape[1])
