"""Reads a tensor by its address, as only host code without a device can, to choose its launch."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
import ctypes

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
    step = 1 if len(ctypes.string_at(x.data_ptr(), 4)) == 4 else 2
    affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=step)
