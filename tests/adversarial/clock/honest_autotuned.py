"""Lets Triton choose between configurations at its first call, long before it is recorded."""

import triton
import triton.language as tl

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True}

CONFIGS = [triton.Config({"ROWS": rows}, num_warps=4) for rows in (8, 16)]


@triton.autotune(configs=CONFIGS, key=["m"])
@triton.jit
def affine_rows(x, w, table, alpha, y, row, m, N: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, N)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)[:, None]
    value = tl.load(x + source * N + columns[None, :], mask=inside[:, None], other=0.0)
    value = value * tl.load(w + columns)[None, :] * alpha + 1.0
    tl.store(y + rows[:, None] * N + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_rows[lambda chosen: (triton.cdiv(m, chosen["ROWS"]),)](
            x, w, table, alpha, y, row, m, N=n
        )
