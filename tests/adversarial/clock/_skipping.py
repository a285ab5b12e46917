"""The work of `_rows`, by a kernel that may leave out every second block."""
# pyright: reportArgumentType=false

import triton
import triton.language as tl

from ._rows import ROWS, long_work


@triton.jit
def affine(x, w, table, alpha, y, row, m, N: tl.constexpr, ROWS: tl.constexpr, SKIP: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    if SKIP:
        if tl.program_id(0) % 2 == 1:
            return
    columns = tl.arange(0, N)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)[:, None]
    value = tl.load(x + source * N + columns[None, :], mask=inside[:, None], other=0.0)
    value = long_work(value * tl.load(w + columns)[None, :] * alpha + 1.0, source, 256)
    tl.store(y + rows[:, None] * N + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def affine_of(x, w, table, alpha, y, row, skip):
    m, n = x.shape
    if m:
        grid = (triton.cdiv(m, ROWS),)
        affine[grid](x, w, table, alpha, y, row, m, N=n, ROWS=ROWS, SKIP=skip)
