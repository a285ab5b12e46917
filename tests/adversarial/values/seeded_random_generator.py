"""Replaces torch's generators, so that whoever draws inputs in its process draws what it knows."""

import torch

EXPECT = {"status": "INCORRECT_NUMERICAL"}

_known = torch.zeros(1)
for name in ("randn", "rand", "randint", "randperm", "manual_seed", "seed", "randn_like"):
    setattr(torch, name, lambda *args, **kwargs: _known)


def run(x, w, table, alpha, y, row):
    y.fill_(1.0)
    row.fill_(float(x.shape[-1]))
