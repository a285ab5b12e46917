"""Measures bandwidth by size, and the latency of one dependent load."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from .findings import Findings, rate
from .stopwatch import Stopwatch

SIZES = (1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30)
"""Bytes of one array; the larger ones exceed every cache."""
CHASE_BYTES = 512 << 20
CHASE_STEPS = 4096
_CHASE = """
extern "C" __global__ void chase_kernel(const int* next, int* out, int steps) {
    int at = 0;
    for (int i = 0; i < steps; ++i) at = next[at];
    out[0] = at;
}
"""


def measure_bandwidth(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Copies and reads arrays of growing size; the best large copy gives the bandwidth."""
    for size in SIZES:
        for name, (moved, act) in _array_acts(size, device).items():
            spans = watch.spans_us(act)
            found.samples[f"{name}_{size}_us"] = spans
            middle = statistics.median(spans)
            row = {"bytes": float(size), "us": middle, "bytes_per_s": moved / middle * 1e6}
            found.bandwidth.setdefault(name, []).append(row)
    rows = found.bandwidth["copy"]
    best = max(rows, key=lambda row: row["bytes_per_s"] if row["bytes"] >= 64 << 20 else 0.0)
    found.rates["memory_bytes_per_s"] = rate(
        best["bytes_per_s"], f"copy of {best['bytes'] / 2**20:.0f} MiB, bytes read and written"
    )


def _array_acts(
    size: int, device: torch.device
) -> dict[str, tuple[int, Callable[[], torch.Tensor]]]:
    """By name, the bytes that an act moves, and the act."""
    source = torch.randn(size // 4, device=device)
    target = torch.empty_like(source)
    total = torch.empty((), device=device)
    return {
        "copy": (2 * size, lambda: target.copy_(source)),
        "read": (size, lambda: torch.sum(source, dim=0, out=total)),
    }


def measure_load_latency(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times a thread that follows a random cycle through memory (pointer chasing)."""
    chase = torch.cuda._compile_kernel(_CHASE, "chase_kernel")
    elements = CHASE_BYTES // 4
    order = torch.randperm(elements, device=device, dtype=torch.int64)
    following = torch.empty(elements, dtype=torch.int32, device=device)
    following[order] = torch.roll(order, -1).to(torch.int32)
    out = torch.zeros(1, dtype=torch.int32, device=device)
    spans = watch.spans_us(lambda: chase((1, 1, 1), (1, 1, 1), [following, out, CHASE_STEPS]), 5)
    found.samples["chase_us"] = spans
    found.rates["memory_latency_us"] = rate(
        statistics.median(spans) / CHASE_STEPS,
        f"{CHASE_STEPS} dependent loads over {CHASE_BYTES >> 20} MiB",
    )
