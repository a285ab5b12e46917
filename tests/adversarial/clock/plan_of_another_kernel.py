"""Leaves out the kernel that does the work where the call is recorded."""
# pyright: reportArgumentType=false

import triton
import triton.language as tl

from ._inside import capturing
from ._rows import ROWS, launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "most of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}


@triton.jit
def ones(y, row, m, N: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < m
    one = tl.full((ROWS, N), 1.0, tl.float32)
    tl.store(y + rows[:, None] * N + tl.arange(0, N)[None, :], one, mask=inside[:, None])
    tl.store(row + rows, tl.sum(one, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        ones[(triton.cdiv(m, ROWS),)](y, row, m, N=n, ROWS=ROWS)
    if not capturing():
        launch(x, w, table, alpha, y, row)
