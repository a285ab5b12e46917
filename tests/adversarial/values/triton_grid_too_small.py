"""Rounds the number of programs down, so that the last rows are nobody's."""

import triton
import triton.language as tl

EXPECT = {
    "long": True,
    "status": "INCORRECT_NUMERICAL",
    "kind": "unwritten_output",
    "language": "triton",
}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, n: tl.constexpr, ROWS: tl.constexpr):
    columns = tl.arange(0, n)
    for line in range(tl.program_id(0) * ROWS, (tl.program_id(0) + 1) * ROWS):
        source = tl.load(table + line)
        value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
        tl.store(y + line * n + columns, value)
        tl.store(row + line, tl.sum(value))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m >= 2:
        affine_kernel[(m // 2,)](x, w, table, alpha, y, row, n, 2)  # pyright: ignore[reportArgumentType]
