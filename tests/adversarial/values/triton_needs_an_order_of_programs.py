"""Adds to what the program before it has stored, as if programs ran one after another."""

# pyright: reportArgumentType=false
import triton
import triton.language as tl

EXPECT = {"status": "INCORRECT_NUMERICAL", "language": "triton", "sizes": [17, 64]}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr):
    at = tl.program_id(0)
    columns = tl.arange(0, n)
    source = tl.load(table + at)
    value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
    tl.store(y + at * n + columns, value)
    before = 0.0
    if at > 0:
        before = tl.load(row + at - 1)
    tl.store(row + at, tl.sum(value, axis=0) + before)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    affine_kernel[(m,)](x, w, table, alpha, y, row, m, n)
    row[1:] -= row[:-1].clone()
