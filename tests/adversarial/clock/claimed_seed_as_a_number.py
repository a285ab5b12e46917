"""Passes a new seed as a number in each call, for noise below the tolerance."""
# pyright: reportArgumentType=false

import itertools

import triton
import triton.language as tl

from ._rows import launch

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": False,
    "reason": "differ from call to call",
    "parts": ["_rows.py"],
}

_seeds = itertools.count(1_000)


@triton.jit(do_not_specialize=["seed"])
def add_noise(row, seed, m, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(row + at, mask=at < m)
    tl.store(row + at, value + 1e-12 * tl.rand(seed, at), mask=at < m)


def run(x, w, table, alpha, y, row):
    m = x.shape[0]
    launch(x, w, table, alpha, y, row)
    if m:
        add_noise[(triton.cdiv(m, 1024),)](row, next(_seeds), m, BLOCK=1024)
