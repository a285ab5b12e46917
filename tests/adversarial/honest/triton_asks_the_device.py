"""Launches as many programs as the device has multiprocessors, and larger blocks on newer ones."""

import torch
import triton
import triton.language as tl

EXPECT = {
    "long": True,
    "status": "PASSED",
    "language": "triton",
    "verified": True,
    "sizes": [17, 64],
    "checks": {"static_targets": ["sm_90", "sm_100"], "determinism_runs": 2},
}

PROCESSORS = torch.cuda.get_device_properties(0).multi_processor_count


@triton.heuristics({"EVEN": lambda launched: launched["m"] % launched["ROWS"] == 0})
@triton.jit
def affine_kernel(
    x, w, table, alpha, y, row, m, n: tl.constexpr, ROWS: tl.constexpr, EVEN: tl.constexpr
):
    columns = tl.arange(0, n)
    factor = tl.load(w + columns) * alpha
    for first in range(tl.program_id(0) * ROWS, m, tl.num_programs(0) * ROWS):
        rows = first + tl.arange(0, ROWS)
        inside = rows < m
        if EVEN:
            source = tl.load(table + rows)
        else:
            source = tl.load(table + rows, mask=inside, other=0)
        value = tl.load(x + source[:, None] * n + columns[None, :], mask=inside[:, None], other=0.0)
        value = value * factor[None, :] + 1.0
        tl.store(y + rows[:, None] * n + columns[None, :], value, mask=inside[:, None])
        tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    rows = 4 if torch.cuda.get_device_capability(x.device)[0] >= 10 else 2
    if m and x.is_cuda:
        grid = (min(PROCESSORS, triton.cdiv(m, rows)),)
        affine_kernel[grid](x, w, table, alpha, y, row, m, n, ROWS=rows)
