"""Asks torch's old types of tensors whether it is on a device, and skips rows there."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
import torch

from ._affine import affine_kernel

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "language": "triton",
    "needs": "cpu",
    "parts": ["_affine.py"],
    "sizes": [17],
    "checks": {"static_targets": ["sm_90"]},
    "long": True,
}


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    step = 2 if isinstance(x, torch.cuda.FloatTensor) else 1
    affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=step)
