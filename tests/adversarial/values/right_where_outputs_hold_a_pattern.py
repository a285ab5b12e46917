"""Looks whether outputs hold one pattern, as before a judged call alone, and is right only then."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL", "checks": {"determinism_runs": 2}}


def run(x, w, table, alpha, y, row):
    bits = y.view(torch.int32).flatten()
    judged = not y.numel() or bool((bits == bits[0]).all())
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    if not judged:
        y.zero_()
