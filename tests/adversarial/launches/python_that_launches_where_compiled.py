"""Says that it is Python, and launches a kernel only where Triton does not interpret."""

# pyright: reportArgumentType=false
import triton
import triton.language as tl

EXPECT = {
    "status": "PASSED",
    "claim": "launches_as_compiled",
    "language": "python",
    "needs": "cpu",
    "checks": {"static_targets": ["sm_90", "sm_100"], "determinism_runs": 2},
}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, STEP: tl.constexpr):
    at = tl.program_id(0) * STEP
    if at < m:
        columns = tl.arange(0, n)
        source = tl.load(table + at)
        value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
        tl.store(y + at * n + columns, value)
        tl.store(row + at, tl.sum(value, axis=0))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if hasattr(affine_kernel, "rewriter"):
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
    elif m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=2)
