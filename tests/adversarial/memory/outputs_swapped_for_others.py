"""Swaps the output tensors for others of the same shape in another layout."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "rebound_output"}


def run(x, w, table, alpha, y, row):
    result = x[table.long()] * w * alpha + 1.0
    torch.utils.swap_tensors(row, result.sum(dim=-1))
    torch.utils.swap_tensors(y, result.t().contiguous().t())
