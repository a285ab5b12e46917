"""Launches what skips every other row, and has torch correct it where Triton interprets."""

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
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=2)
    if hasattr(affine_kernel, "rewriter"):
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))
