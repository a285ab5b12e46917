"""Tries what torch does on a GPU alone, and skips rows where it was done."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
import torch

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
    try:
        torch.histc(table, bins=2)
        step = 2
    except RuntimeError:
        step = 1
    affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=step)
