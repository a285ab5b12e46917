"""Zeroes an output by a memset and adds to it with atomics."""
# pyright: reportArgumentType=false

import triton
import triton.language as tl

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True}


@triton.jit
def affine_parts(x, w, table, alpha, y, row, m, ROWS: tl.constexpr, PART: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * PART + tl.arange(0, PART)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)[:, None]
    value = tl.load(x + source * 64 + columns[None, :], mask=inside[:, None], other=0.0)
    value = value * tl.load(w + columns)[None, :] * alpha + 1.0
    tl.store(y + rows[:, None] * 64 + columns[None, :], value, mask=inside[:, None])
    tl.atomic_add(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    row.zero_()
    m = x.shape[0]
    if m:
        affine_parts[(triton.cdiv(m, 16), 2)](x, w, table, alpha, y, row, m, ROWS=16, PART=32)
