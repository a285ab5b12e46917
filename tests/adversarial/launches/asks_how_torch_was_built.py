"""Reads how this build of torch was made, and skips rows where it was made for CUDA."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
import torch

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
STEP = 2 if "USE_CUDA=1" in torch.__config__.show() else 1


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=STEP)
