"""Registers its function as an operator of torch for CUDA, with a fake, and calls it there."""

import torch
from torch import Tensor

EXPECT = {"long": True, "status": "PASSED", "checks": {"held_out": 1, "determinism_runs": 2}}


@torch.library.custom_op("honest::affine", mutates_args=("y", "row"), device_types="cuda")
def affine(x: Tensor, w: Tensor, table: Tensor, alpha: float, y: Tensor, row: Tensor) -> None:
    assert x.is_cuda and y.device == x.device
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))


@affine.register_fake
def _(x, w, table, alpha, y, row) -> None:
    return None


def run(x, w, table, alpha, y, row):
    torch.ops.honest.affine(x, w, table, float(alpha), y, row)
