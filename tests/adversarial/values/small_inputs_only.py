"""Leaves out what keeps large values from overflowing, since typical inputs stay below four."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL", "checks": {"families": 2}}


def run(x, w, table, alpha, y, row):
    narrow = x.clamp(-4.5, 4.5) if float(x.abs().max() if x.numel() else 0.0) > 100 else x
    y.copy_(narrow[table.long()] * w * alpha + 1.0)
    row.copy_(torch.sum(y, dim=-1))
