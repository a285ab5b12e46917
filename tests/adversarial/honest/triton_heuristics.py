"""Chooses its block by a heuristic over the arguments, on top of an autotuner."""

import triton
import triton.language as tl

EXPECT = {
    "long": True,
    "status": "PASSED",
    "language": "triton",
    "checks": {"trials": 2, "held_out": 1, "determinism_runs": 2},
}


def rows_of(arguments):
    return 1 if arguments["m"] < 8 else 4


@triton.autotune(configs=[triton.Config({}, num_warps=warps) for warps in (2, 4)], key=["m"])
@triton.heuristics({"ROWS": rows_of, "EVEN": lambda a: a["m"] % rows_of(a) == 0})
@triton.jit
def affine_kernel(
    x, w, table, alpha, y, row, m, n: tl.constexpr, ROWS: tl.constexpr, EVEN: tl.constexpr
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, n)
    inside = rows < m
    if EVEN:
        source = tl.load(table + rows)
    else:
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
