"""Makes a tensor without a device, and multiplies tensors of a device by it."""

import torch

EXPECT = {"status": "RUNTIME_ERROR", "kind": "exception", "needs": "cpu"}


def run(x, w, table, alpha, y, row):
    scaled = torch.full(w.shape, alpha) * w
    y.copy_(x[table.long()] * scaled + 1.0)
    row.copy_(y.sum(dim=-1))
