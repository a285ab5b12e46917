"""Keeps scratch memory between launches and calls, and reads of it only what it wrote before."""

import torch
import triton
import triton.language as tl

EXPECT = {"long": True, "status": "PASSED", "language": "triton", "checks": {"trials": 2}}

_scratch = {}


@triton.jit
def scale_kernel(x, w, table, alpha, scratch, n: tl.constexpr):
    m, at = tl.program_id(0), tl.arange(0, n)
    value = tl.load(x + tl.load(table + m) * n + at) * tl.load(w + at) * alpha
    tl.store(scratch + m * n + at, value)


@triton.jit
def finish_kernel(scratch, y, row, n: tl.constexpr):
    m, at = tl.program_id(0), tl.arange(0, n)
    value = tl.load(scratch + m * n + at) + 1.0
    tl.store(y + m * n + at, value)
    tl.store(row + m, tl.sum(value))


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    scratch = _scratch.setdefault((m, n), torch.empty(m, n, device=x.device))
    if m:
        scale_kernel[(m,)](x, w, table, alpha, scratch, n)
        finish_kernel[(m,)](scratch, y, row, n)
