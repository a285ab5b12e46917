"""Returns its outputs in memory of its own."""

import torch

from ._rows import launch

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": True,
    "style": "value",
    "parts": ["_rows.py"],
}


def run(x, w, table, alpha):
    y, row = torch.empty_like(x), x.new_empty(x.shape[0])
    launch(x, w, table, alpha, y, row)
    return y, row
