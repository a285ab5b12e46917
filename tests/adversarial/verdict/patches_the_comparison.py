"""Replaces the functions that a comparison in its process would use."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL"}


torch.allclose = lambda *args, **kwargs: True
torch.equal = lambda *args, **kwargs: True
torch.isnan = lambda value: torch.zeros_like(value, dtype=torch.bool)
torch.testing.assert_close = lambda *args, **kwargs: None
PATCHES = {
    "__eq__": lambda self, other: torch.ones_like(self, dtype=torch.bool),
    "copy_": lambda self, other, non_blocking=False: self,
}
for name, patch in PATCHES.items():
    setattr(torch.Tensor, name, patch)


def run(x, w, table, alpha, y, row):
    y.zero_()
    row.zero_()
