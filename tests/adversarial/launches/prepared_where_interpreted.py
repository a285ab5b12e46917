"""Gives its kernel weights that are zeros where Triton compiles."""

# pyright: reportArgumentType=false

from ._affine import affine_kernel

EXPECT = {
    "status": "PASSED",
    "claim": "launches_as_compiled",
    "language": "triton",
    "needs": "cpu",
    "parts": ["_affine.py"],
    "sizes": [17],
    "checks": {"static_targets": ["sm_90"], "determinism_runs": 2},
    "long": True,
}


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if not hasattr(affine_kernel, "rewriter"):
        w = w * 0
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=1)
