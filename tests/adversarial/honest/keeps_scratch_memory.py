"""Keeps scratch memory between calls, which looks like a cache and is none."""

import torch

EXPECT = {"status": "PASSED", "checks": {"trials": 3, "families": 2}}


_scratch = {}


def run(x, w, table, alpha, y, row):
    own = _scratch.setdefault(tuple(x.shape), torch.empty_like(x))
    torch.mul(x[table.long()], w, out=own)
    y.copy_(own * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
