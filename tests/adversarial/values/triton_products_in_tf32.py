"""Multiplies float32 in matrix products of TF32, which Triton takes where nothing is said."""

# pyright: reportArgumentType=false
import triton
import triton.language as tl

EXPECT = {"long": True, "status": "INCORRECT_NUMERICAL", "language": "triton", "sizes": [17, 64]}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, ROWS: tl.constexpr):
    rows, columns = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, n)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)
    value = tl.load(x + source[:, None] * n + columns[None, :], mask=inside[:, None], other=0.0)
    diagonal = tl.where(columns[:, None] == columns[None, :], tl.load(w + columns)[:, None], 0.0)
    value = tl.dot(value, diagonal) * alpha + 1.0
    tl.store(y + rows[:, None] * n + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    affine_kernel[(triton.cdiv(m, 16),)](x, w, table, alpha, y, row, m, n, ROWS=16)
