"""Skips every other row on a device of the second target only."""

# pyright: reportArgumentType=false
import torch
import triton
import triton.language as tl

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "words": "As on sm_100",
    "language": "triton",
    "needs": "cpu",
    "checks": {"static_targets": ["sm_90", "sm_100"], "determinism_runs": 2},
}


@triton.jit
def affine_kernel(x, w, table, alpha, y, row, m, n: tl.constexpr, STEP: tl.constexpr):
    at = tl.program_id(0) * STEP
    if at < m:
        columns = tl.arange(0, n)
        source = tl.load(table + at)
        value = tl.load(x + source * n + columns) * tl.load(w + columns) * alpha + 1.0
        tl.store(y + at * n + columns, value)
        tl.store(row + at, tl.sum(value, axis=0))


STEP = 2 if torch.cuda.get_device_capability()[0] >= 10 else 1


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        affine_kernel[(m,)](x, w, table, alpha, y, row, m, n, STEP=STEP)
