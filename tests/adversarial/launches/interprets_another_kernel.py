"""Gives a wrong kernel the parts of a right one that Triton reads where it interprets alone."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
import triton
import triton.language as tl

from ._affine import affine_kernel

EXPECT = {
    "long": True,
    "status": "PASSED",
    "claim": "launches_as_compiled",
    "language": "triton",
    "needs": "cpu",
    "parts": ["_affine.py"],
    "sizes": [17],
    "checks": {"static_targets": ["sm_90"], "determinism_runs": 2},
}


@triton.jit
def wrong_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, STEP: tl.constexpr):
    at = tl.program_id(0) * STEP
    columns = tl.arange(0, n)
    tl.store(y + at * n + columns, tl.load(x + at * n + columns))
    tl.store(row + at, alpha)


wrong_kernel.fn = affine_kernel.fn
try:
    wrong_kernel.rewriter = affine_kernel.rewriter
except AttributeError:
    pass


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    wrong_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=1)
