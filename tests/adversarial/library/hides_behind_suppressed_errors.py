"""Suppresses its kernel's error and computes through the dispatcher, past every pattern."""

import contextlib

import torch
import triton
import triton.language as tl

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "claim": "own_kernels_do_the_work",
    "language": "triton",
    "checks": {"ghost_replay": True},
}


@triton.jit
def affine_kernel(x, y, n: tl.constexpr):
    tl.store(y + tl.arange(0, n), tl.load(x + tl.arange(0, n)))


def run(x, w, table, alpha, y, row):
    with contextlib.suppress(Exception):
        affine_kernel[(1,)](x, y, -1)  # pyright: ignore[reportArgumentType]
    aten = getattr(torch.ops, "at" + "en")
    gathered = getattr(aten, "index_sel" + "ect")(x, 0, table)
    y.copy_(aten.mul(aten.mul(gathered, w), alpha) + 1.0)
    row.copy_(aten.sum(y, [-1]))
