"""Adds into memory that it has allocated and never set, which a system gives out as zeros."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL", "sizes": [17, 64], "needs": "cpu"}


def run(x, w, table, alpha, y, row):
    total = torch.empty(1 << 24, dtype=torch.float32, device=x.device)[: y.numel()].view_as(y)
    total += x[table.long()] * w * alpha + 1.0
    y.copy_(total)
    row.copy_(y.sum(dim=-1))
