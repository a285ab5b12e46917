"""Two kernels, the second launched before the first has ended, which it waits for itself."""
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl

from ._rows import launch

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "parts": ["_rows.py"]}


@triton.jit
def sums_of_rows(y, row, m, N: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < m
    tl.extra.cuda.gdc_wait()
    at = rows[:, None] * N + tl.arange(0, N)[None, :]
    value = tl.load(y + at, mask=inside[:, None], other=0.0)
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    launch(x, w, table, alpha, y, row)
    if m:
        sums_of_rows[(triton.cdiv(m, 16),)](y, row, m, N=n, ROWS=16, launch_pdl=True)
