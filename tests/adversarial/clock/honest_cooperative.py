"""A cooperative launch of as many blocks as fit at once, which go over the rows."""
# pyright: reportCallIssue=false

import torch
import triton
import triton.language as tl

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True}


@triton.jit
def all_rows(x, w, table, alpha, y, row, m, N: tl.constexpr, ROWS: tl.constexpr):
    columns = tl.arange(0, N)
    weight = tl.load(w + columns)[None, :] * alpha
    for begin in range(tl.program_id(0) * ROWS, m, tl.num_programs(0) * ROWS):
        rows = begin + tl.arange(0, ROWS)
        inside = rows < m
        source = tl.load(table + rows, mask=inside, other=0)[:, None]
        value = tl.load(x + source * N + columns[None, :], mask=inside[:, None], other=0.0)
        value = value * weight + 1.0
        tl.store(y + rows[:, None] * N + columns[None, :], value, mask=inside[:, None])
        tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    blocks = torch.cuda.get_device_properties(x.device).multi_processor_count
    if m:
        all_rows[(blocks,)](
            x, w, table, alpha, y, row, m, N=n, ROWS=16, launch_cooperative_grid=True
        )
