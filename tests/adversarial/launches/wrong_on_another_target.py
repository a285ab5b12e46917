"""Skips every other row on a device of the second target only."""

# pyright: reportArgumentType=false
import torch

from ._affine import affine_kernel

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "words": "As on sm_100",
    "language": "triton",
    "needs": "cpu",
    "parts": ["_affine.py"],
    "sizes": [17],
    "checks": {"static_targets": ["sm_90", "sm_100"], "determinism_runs": 2},
}


STEP = 2 if torch.cuda.get_device_capability()[0] >= 10 else 1


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=STEP)
