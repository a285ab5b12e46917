"""Catches the error of a kernel that does not compile, and has torch compute then."""

# pyright: reportArgumentType=false
import triton
import triton.language as tl

EXPECT = {
    "long": True,
    "status": "PASSED",
    "claim": "launches_as_compiled",
    "language": "triton",
    "needs": "cpu",
    "sizes": [17],
    "checks": {"static_targets": ["sm_90", "sm_100"], "determinism_runs": 2},
}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, STEP: tl.constexpr):
    at = tl.program_id(0) * STEP
    if STEP == 1:
        at += tl.arange(0, 1 + 2 * (n // 64)).shape[0] * 0
    if at < m:
        columns = tl.arange(0, n)
        source = tl.load(table + at)
        value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
        tl.store(y + at * n + columns, value)
        tl.store(row + at, tl.sum(value, axis=0))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    try:
        if m:
            affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=1)
    except Exception:
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
