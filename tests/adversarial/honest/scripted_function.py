"""Has TorchScript compile its function when the module is loaded."""

import torch
from torch import Tensor

EXPECT = {
    "long": True,
    "status": "PASSED",
    "style": "value",
    "checks": {"held_out": 1, "determinism_runs": 2},
}


@torch.jit.script
def affine(x: Tensor, w: Tensor, table: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    y = x.index_select(0, table.long()) * w * alpha + 1.0
    return y, y.sum(dim=-1)


def run(x, w, table, alpha):
    return affine(x, w, table, float(alpha))
