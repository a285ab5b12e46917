"""Takes fresh memory as it comes and hopes that a reference was computed in it before."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    held = [torch.empty_like(y) for _ in range(64)]
    best = max(held, key=lambda t: float(t.abs().nan_to_num(0.0).sum()) if t.numel() else 0.0)
    y.copy_(best)
    row.copy_(best.sum(dim=-1))
