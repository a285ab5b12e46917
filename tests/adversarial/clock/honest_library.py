"""A kernel of its own, then a product of cuBLAS for the sums of the rows."""

import torch

from ._rows import launch

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "parts": ["_rows.py"]}

_kept = {}


def run(x, w, table, alpha, y, row):
    ones, unused = _kept.setdefault("ones", (torch.ones_like(w), torch.empty_like(row)))
    launch(x, w, table, alpha, y, unused)
    torch.mv(y, ones, out=row)
