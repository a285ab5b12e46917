"""Asks in TorchScript where a tensor lies, which answers of itself, and skips rows on a GPU."""

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


@torch.jit.script
def lies_there(x: torch.Tensor) -> bool:
    return x.is_cuda


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=2 if lies_there(x) else 1)
