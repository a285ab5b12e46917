"""Builds an extension out of a string with torch's own loader when the module is loaded."""

from typing import Any

import torch
from torch.utils.cpp_extension import load_inline

EXPECT = {
    "status": "PASSED",
    "long": True,
    "checks": {"held_out": 1, "determinism_runs": 2},
    "plan": {"budget_s": 240.0},
}

SOURCE = r"""
void affine(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha,
            torch::Tensor y, torch::Tensor row) {
  TORCH_CHECK(x.is_cuda() && y.device() == x.device(), "expected tensors on a GPU");
  y.copy_(x.index_select(0, table.to(torch::kLong)) * w * alpha + 1.0);
  row.copy_(y.sum(-1));
}
"""
EXTENSION: Any = load_inline(name="honest_affine", cpp_sources=SOURCE, functions=["affine"])


@torch.no_grad()
def run(x, w, table, alpha, y, row):
    EXTENSION.affine(x, w, table, float(alpha), y, row)
