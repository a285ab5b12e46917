"""The work that attacks on time share with their honest twins: one pass over rows of 64 columns.

`WORK` adds rounds of integer arithmetic to every element, so that a call takes long enough for two
per cent of it to be seen.
"""
# pyright: reportArgumentType=false

import triton
import triton.language as tl

ROWS = 16
LONG = 256
"""Rounds that make the call of 65,536 rows take some tens of microseconds."""


@triton.jit
def long_work(value, source, WORK: tl.constexpr):
    seed = source + value.to(tl.int32, bitcast=True)
    for _ in range(WORK):
        seed = seed * 1664525 + 1013904223
    return tl.where(seed == -1, value * 1.0000001, value)


@triton.jit
def affine_rows(
    x, w, table, alpha, y, row, m, N: tl.constexpr, ROWS: tl.constexpr, WORK: tl.constexpr
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, N)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)[:, None]
    value = tl.load(x + source * N + columns[None, :], mask=inside[:, None], other=0.0)
    value = long_work(value * tl.load(w + columns)[None, :] * alpha + 1.0, source, WORK)
    tl.store(y + rows[:, None] * N + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def launch(x, w, table, alpha, y, row, work=LONG, rows=None, **options):
    """Computes the first `rows` rows of the table, or all."""
    m = table.shape[0] if rows is None else rows
    if m:
        grid = (triton.cdiv(m, ROWS),)
        affine_rows[grid](
            x, w, table, alpha, y, row, m, N=x.shape[1], ROWS=ROWS, WORK=work, **options
        )


def in_halves(x, w, table, alpha, y, row):
    """Computes all rows in two launches, so that one of them can be hidden."""
    half = x.shape[0] // 2
    launch(x, w, table, alpha, y, row, rows=half)
    launch(x, w, table[half:], alpha, y[half:], row[half:])
