"""Asks where a tensor lies while torch calls back, and skips rows where it lies on a GPU."""

# pyright: reportArgumentType=false, reportCallIssue=false
import torch

from ._affine import affine_kernel

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "language": "triton",
    "needs": "cpu",
    "parts": ["_affine.py"],
    "sizes": [17],
    "checks": {"static_targets": ["sm_90"], "determinism_runs": 2},
}


class Size:
    def __init__(self, tensor):
        self.tensor = tensor
        self.step = 1

    def __index__(self):
        self.step = 2 if self.tensor.is_cuda else 1
        return 1


def run(x, w, table, alpha, y, row):
    size = Size(x)
    torch.ones(1, device=x.device).expand(size)
    m, n = x.shape
    affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=size.step)
