"""Triton, which makes a tensor map of an output on the device, in scratch that torch allocates."""
# pyright: reportArgumentType=false

import torch
import triton
import triton.language as tl

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True}

ROWS = 16


@triton.jit
def affine_tiles(x, w, table, alpha, y, row, m, N: tl.constexpr, ROWS: tl.constexpr):
    tiles = tl.make_tensor_descriptor(y, shape=[m, N], strides=[N, 1], block_shape=[ROWS, N])
    first = tl.program_id(0) * ROWS
    rows = first + tl.arange(0, ROWS)
    columns = tl.arange(0, N)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)[:, None]
    value = tl.load(x + source * N + columns[None, :], mask=inside[:, None], other=0.0)
    value = value * tl.load(w + columns)[None, :] * alpha + 1.0
    tiles.store([first, 0], value)
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def scratch(nbytes, alignment, stream):
    return torch.empty(nbytes, dtype=torch.int8, device="cuda")


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        triton.set_allocator(scratch)
        affine_tiles[(triton.cdiv(m, ROWS),)](x, w, table, alpha, y, row, m, N=n, ROWS=ROWS)
