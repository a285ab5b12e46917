"""Allocates both outputs as one block in every call and returns views of it."""

import torch

EXPECT = {"status": "PASSED", "style": "value", "checks": {"trials": 2}}


def run(x, w, table, alpha):
    m, n = x.shape
    block = torch.empty(m * (n + 1), device=x.device)
    y, row = block[: m * n].view(m, n), block[m * n :]
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    return y, row
