"""Lets Triton choose between configurations, which runs the kernel many times at first."""

import triton
import triton.language as tl

EXPECT = {
    "status": "PASSED",
    "language": "triton",
    "verified": True,
    "sizes": [0, 17],
    "checks": {
        "trials": 2,
        "held_out": 1,
        "static_targets": ["sm_90"],
        "determinism_runs": 2,
    },
    "long": True,
}


@triton.autotune(configs=[triton.Config({"ROWS": rows}, num_warps=4) for rows in (1, 4)], key=["n"])
@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, n)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)
    at = source[:, None] * n + columns[None, :]
    value = tl.load(x + at, mask=inside[:, None], other=0.0)
    value = value * tl.load(w + columns)[None, :] * alpha + 1.0
    tl.store(y + rows[:, None] * n + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[lambda meta: (triton.cdiv(m, meta["ROWS"]),)](
            x, w, table, alpha, y, row, m, n
        )
