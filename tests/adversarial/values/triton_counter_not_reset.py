"""Leaves a counter of its own as the call before left it, so that only the first call is right."""

import torch
import triton
import triton.language as tl

EXPECT = {"status": "INCORRECT_NUMERICAL", "language": "triton", "checks": {"trials": 2}}

_sums = {}


@triton.jit
def affine_kernel(x, w, table, alpha, y, sums, n: tl.constexpr):
    m, at = tl.program_id(0), tl.arange(0, n)
    value = tl.load(x + tl.load(table + m) * n + at) * tl.load(w + at) * alpha + 1.0
    tl.store(y + m * n + at, value)
    tl.atomic_add(sums + m, tl.sum(value))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    sums = _sums.setdefault(m, torch.zeros(m, device=x.device))
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, sums, n)
    row.copy_(sums)
