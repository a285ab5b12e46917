"""Triton, which is given a tensor map of an output, made on the host, as a parameter."""
# pyright: reportArgumentType=false

import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True}

ROWS = 16


@triton.jit
def affine_tiles(x, w, table, alpha, y, row, m, N: tl.constexpr, ROWS: tl.constexpr):
    first = tl.program_id(0) * ROWS
    rows = first + tl.arange(0, ROWS)
    columns = tl.arange(0, N)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)[:, None]
    value = tl.load(x + source * N + columns[None, :], mask=inside[:, None], other=0.0)
    value = value * tl.load(w + columns)[None, :] * alpha + 1.0
    y.store([first, 0], value)
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        tiles = TensorDescriptor.from_tensor(y, [ROWS, n])
        affine_tiles[(triton.cdiv(m, ROWS),)](x, w, table, alpha, tiles, row, m, N=n, ROWS=ROWS)
