"""Launches half of the programs where Triton compiles."""

# pyright: reportArgumentType=false

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


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    programs = m if hasattr(affine_kernel, "rewriter") else (m + 1) // 2
    if m:
        affine_kernel[(programs,)](x, w, table, alpha, y, row, m, n, STEP=1)
