"""Loads its inputs so that the L2 keeps them longest, for the call after this one."""
# pyright: reportArgumentType=false

import triton
import triton.language as tl

from ._rows import ROWS

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_short",
    "gain": "the loads of inputs that the flush left in the L2",
    "refused": ["no gain"],
    "parts": ["_rows.py"],
}


@triton.jit
def affine_kept(x, w, table, alpha, y, row, m, N: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, N)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0, eviction_policy="evict_last")[:, None]
    at = source * N + columns[None, :]
    value = tl.load(x + at, mask=inside[:, None], other=0.0, eviction_policy="evict_last")
    value = value * tl.load(w + columns)[None, :] * alpha + 1.0
    tl.store(y + rows[:, None] * N + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kept[(triton.cdiv(m, ROWS),)](x, w, table, alpha, y, row, m, N=n, ROWS=ROWS)
