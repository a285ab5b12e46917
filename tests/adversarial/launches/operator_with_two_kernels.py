"""Has an operator of its own with a right kernel for the processor and a wrong one for CUDA."""

import torch
from torch import Tensor

EXPECT = {"status": "INCORRECT_NUMERICAL", "long": True}


@torch.library.custom_op("cheat::affine", mutates_args=("y", "row"), device_types="cpu")
def affine(x: Tensor, w: Tensor, table: Tensor, alpha: float, y: Tensor, row: Tensor) -> None:
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))


@affine.register_kernel("cuda")
def _(x, w, table, alpha, y, row) -> None:
    y.copy_(x[table.long()] * w)
    row.copy_(y.sum(dim=-1))


def run(x, w, table, alpha, y, row):
    affine(x, w, table, float(alpha), y, row)
