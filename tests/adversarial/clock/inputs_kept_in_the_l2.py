"""Loads its inputs so that the L2 keeps them longest, for the call after this one.

No line of them survives what comes between two calls. Beside a flush that leaves dirty lines it is
3 to 4 per cent faster all the same, on inputs that no call has read before as well: that gain lies
within the call, and the clean span, which is compared here, does not have it.
"""
# pyright: reportArgumentType=false

import triton
import triton.language as tl

from ._rows import ROWS

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_short",
    "told": "clean_ns",
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
