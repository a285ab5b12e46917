"""Fills memory of its own once and reads it in every call."""
# pyright: reportArgumentType=false

import torch
import triton
import triton.language as tl

from ._rows import ROWS

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "parts": ["_rows.py"]}

_kept = {}


@triton.jit
def affine_rows_of(x, w, ones, table, alpha, y, row, m, N: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, N)
    inside = rows < m
    source = tl.load(table + rows, mask=inside, other=0)[:, None]
    value = tl.load(x + source * N + columns[None, :], mask=inside[:, None], other=0.0)
    value = value * tl.load(w + columns)[None, :] * alpha + tl.load(ones + columns)[None, :]
    tl.store(y + rows[:, None] * N + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if "ones" not in _kept:
        _kept["ones"] = torch.ones(n, device=x.device)
    if m:
        affine_rows_of[(triton.cdiv(m, ROWS),)](
            x, w, _kept["ones"], table, alpha, y, row, m, N=n, ROWS=ROWS
        )
