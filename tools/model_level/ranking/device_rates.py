"""What a device does with a copy and with matrix products, measured in a fifth of a second.

For devices without an entry in the table of devices, and for CPUs: a floor by them is what this
machine has been seen to do, not what it could.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .observations import Rates

COPIED_BYTES = {"cpu": 32 << 20, "cuda": 256 << 20}
WIDTH = {"cpu": 768, "cuda": 4096}
DTYPES = {
    "cpu": {"fp32": torch.float32},
    "cuda": {"fp32": torch.float32, "bf16": torch.bfloat16},
}
TRIES = 5


def measured_rates(device: str) -> Rates:
    """Rates of "cpu" or "cuda", the best of a few tries."""
    source = torch.zeros(COPIED_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_s = _least_s(lambda: target.copy_(source), device)
    flops: dict[str, float] = {}
    width = WIDTH[device]
    for name, dtype in DTYPES[device].items():
        x = torch.ones(width, width, dtype=dtype, device=device)
        y = torch.empty_like(x)
        flops[name] = 2 * width**3 / _least_s(lambda x=x, y=y: torch.mm(x, x, out=y), device)
    return Rates(
        "a copy and matrix products measured here", 2 * COPIED_BYTES[device] / copy_s, flops
    )


def _least_s(act: Callable[[], object], device: str) -> float:
    """Seconds of an act."""
    times: list[float] = []
    for _ in range(TRIES):
        begin = time.perf_counter()
        act()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times)
