"""Defines a kernel of one name twice, and the wrong one where Triton compiles."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportRedeclaration=false
import triton
import triton.language as tl

EXPECT = {
    "long": True,
    "status": "PASSED",
    "claim": "launches_as_compiled",
    "language": "triton",
    "needs": "cpu",
    "sizes": [17],
    "checks": {"static_targets": ["sm_90"], "determinism_runs": 2},
}

if triton.knobs.runtime.interpret:

    @triton.jit
    def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, STEP: tl.constexpr):
        at = tl.program_id(0) * STEP
        if at < m:
            columns = tl.arange(0, n)
            source = tl.load(table + at)
            value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
            tl.store(y + at * n + columns, value)
            tl.store(row + at, tl.sum(value, axis=0))

else:

    @triton.jit
    def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, STEP: tl.constexpr):
        at = tl.program_id(0) * STEP
        if at < m:
            columns = tl.arange(0, n)
            source = tl.load(table + at)
            value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
            tl.store(y + at * n + columns, value * 1.5)
            tl.store(row + at, tl.sum(value, axis=0))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=1)
