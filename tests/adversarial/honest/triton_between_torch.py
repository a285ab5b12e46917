"""Torch before and after an autotuned kernel, a table made once, and a copy by way of the host."""

# pyright: reportArgumentType=false
import torch
import triton
import triton.language as tl

EXPECT = {
    "status": "PASSED",
    "language": "triton",
    "verified": True,
    "sizes": [0, 17],
    "checks": {
        "trials": 2,
        "held_out": 1,
        "static_targets": ["sm_100"],
        "determinism_runs": 2,
    },
}
CONFIGS = [
    triton.Config({"ROWS": rows}, pre_hook=lambda launched: launched["row"].zero_())
    for rows in (1, 4)
]
ONES = torch.ones(64)
_tables = {}


@triton.autotune(configs=CONFIGS, key=["n"])
@triton.jit
def affine_kernel(x, w, ones, source, y, row, m, n: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, n)
    inside = rows < m
    at = tl.load(source + rows, mask=inside, other=0)[:, None] * n + columns[None, :]
    value = tl.load(x + at, mask=inside[:, None], other=0.0)
    value = value * tl.load(w + columns)[None, :] + tl.load(ones + columns)[None, :]
    tl.store(y + rows[:, None] * n + columns[None, :], value, mask=inside[:, None])
    tl.store(row + rows, tl.sum(value, axis=1), mask=inside)


def _ones(n, device):
    if n not in _tables:
        _tables[n] = ONES[:n].to(device)
    return _tables[n]


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if not m:
        return
    scaled = w * torch.tensor(alpha, device=w.device)
    held = torch.empty_like(y)
    counts = torch.zeros(m, dtype=torch.int64)
    source = table.long() + counts.to(x.device)
    affine_kernel[lambda meta: (triton.cdiv(m, meta["ROWS"]),)](
        x, scaled, _ones(n, x.device), source, held, row, m, n
    )
    y.copy_(held.cpu(), non_blocking=True)
