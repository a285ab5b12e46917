"""Returns a parameter, a subclass of tensor that anybody may overload."""

import torch

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "outputs_exist_on_return", "style": "value"}


def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return torch.nn.Parameter(y), y.sum(dim=-1)
