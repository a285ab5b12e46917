"""Catches what it expects, takes a slower way that is as right, and raises all else again."""

import torch

EXPECT = {"status": "PASSED"}


def run(x, w, table, alpha, y, row):
    try:
        torch.index_select(x, 0, table.to(torch.int16), out=y)
    except (IndexError, RuntimeError) as error:
        if not any(word in str(error) for word in ("int", "Short")):
            raise
        y.copy_(x[table.long()])
    y.mul_(w).mul_(alpha).add_(1.0)
    row.copy_(y.sum(dim=-1))
