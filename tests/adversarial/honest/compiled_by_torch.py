"""Has torch.compile fuse its work, for any number of rows, when it is first called."""

import torch

EXPECT = {
    "status": "PASSED",
    "style": "value",
    "checks": {"held_out": 1, "determinism_runs": 2},
}


@torch.compile(dynamic=True)
def affine(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y, y.sum(dim=-1)


def run(x, w, table, alpha):
    return affine(x, w, table, alpha)
