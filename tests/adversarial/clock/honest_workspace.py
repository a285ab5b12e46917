"""Allocates a workspace once and writes it in every call before reading it."""
# pyright: reportArgumentType=false

import torch
import triton
import triton.language as tl

from ._rows import launch

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "parts": ["_rows.py"]}

_kept = {}


@triton.jit
def copy_over(source, target, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(target + at, tl.load(source + at, mask=at < count), mask=at < count)


def run(x, w, table, alpha, y, row):
    workspace = _kept.setdefault(x.shape[0], torch.empty_like(row))
    launch(x, w, table, alpha, y, workspace)
    if x.shape[0]:
        copy_over[(triton.cdiv(x.shape[0], 1024),)](workspace, row, x.shape[0], BLOCK=1024)
