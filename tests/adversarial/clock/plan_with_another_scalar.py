"""Passes a smaller count of rounds where the call is recorded; kernel, grid and outputs stay."""
# pyright: reportArgumentType=false

import triton
import triton.language as tl

from ._inside import capturing
from ._rows import LONG, ROWS

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "nearly all of the arithmetic",
    "refused": ["INTEGRITY_VIOLATION"],
    "parts": ["_rows.py", "_inside.py"],
}


@triton.jit(do_not_specialize=["rounds"])
def affine_in_rounds(x, w, table, alpha, y, row, m, rounds, N: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, N)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)[:, None]
    value = tl.load(x + source * N + columns[None, :], mask=inside[:, None], other=0.0)
    value = value * tl.load(w + columns)[None, :] * alpha + 1.0
    seed = source + value.to(tl.int32, bitcast=True)
    for _ in range(rounds):
        seed = seed * 1664525 + 1013904223
    value = tl.where(seed == -1, value * 1.0000001, value)
    tl.store(y + rows[:, None] * N + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    rounds = 2 if capturing() else LONG
    if m:
        affine_in_rounds[(triton.cdiv(m, ROWS),)](
            x, w, table, alpha, y, row, m, rounds, N=n, ROWS=ROWS
        )
