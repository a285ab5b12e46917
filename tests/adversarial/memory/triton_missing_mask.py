"""Stores whole tiles, so that the last one writes past the end."""

import triton
import triton.language as tl

EXPECT = {"status": "RUNTIME_ERROR", "claim": "writes_stay_inside", "language": "triton"}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, n)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)
    value = tl.load(x + source[:, None] * n + columns[None, :])
    value = value * tl.load(w + columns)[None, :] * alpha + 1.0
    tl.store(y + rows[:, None] * n + columns[None, :], value)
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[(triton.cdiv(m, 8),)](x, w, table, alpha, y, row, m, n, 8)  # pyright: ignore[reportArgumentType]
