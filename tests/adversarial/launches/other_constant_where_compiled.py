"""Skips every other row where its kernel is an object that compiles, not one that interprets."""

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


INTERPRETED = type(affine_kernel).__name__ == "InterpretedFunction"


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=1 if INTERPRETED else 2)
