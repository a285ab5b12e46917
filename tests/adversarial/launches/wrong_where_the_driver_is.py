"""Looks for the files of a GPU's driver, and skips rows where they are."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
import os

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
STEP = 2 if os.path.exists("/dev/nvidia0") else 1


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=STEP)
