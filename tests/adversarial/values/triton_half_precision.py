"""Multiplies in half precision inside a kernel whose tensors are all single."""

import triton
import triton.language as tl

EXPECT = {"long": True, "status": "INCORRECT_NUMERICAL", "language": "triton"}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, n: tl.constexpr):
    m, at = tl.program_id(0), tl.arange(0, n)
    value = tl.load(x + tl.load(table + m) * n + at).to(tl.float16)
    value = (value * tl.load(w + at).to(tl.float16)).to(tl.float32) * alpha + 1.0
    tl.store(y + m * n + at, value)
    tl.store(row + m, tl.sum(value))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, n)
