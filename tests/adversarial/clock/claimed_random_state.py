"""Adds a random number below the tolerance, from torch's generator, which the host moves on."""

import torch

from ._rows import launch

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": False,
    "reason": "torch's random state",
    "parts": ["_rows.py"],
}


def run(x, w, table, alpha, y, row):
    launch(x, w, table, alpha, y, row)
    row.add_(torch.rand_like(row), alpha=1e-12)
