"""Measures products of matrices in each precision."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .findings import Findings
from .stopwatch import Stopwatch

GEMM_N = 8192


def measure_products(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times products of random square matrices in each precision that the device has."""
    for precision, (size, act) in _products(device).items():
        try:
            spans = watch.spans_us(act, 10, sustained=True)
        except RuntimeError as error:
            found.skipped[precision] = " ".join(str(error).split())[:200]
            continue
        found.samples[f"gemm_{precision}_us"] = spans
        reached = 2.0 * size**3 / statistics.median(spans) * 1e6
        found.flops[precision] = rate(reached, f"product of random {size} x {size} matrices")


def _products(device: torch.device) -> dict[str, tuple[int, Callable[[], Any]]]:
    size, half = GEMM_N, GEMM_N // 2
    left = torch.randn(size, size, device=device)
    right = torch.randn(size, size, device=device)
    wide, small = (left.bfloat16(), right.bfloat16()), (left[:half, :half], right[:half, :half])
    out = torch.empty(size, size, device=device, dtype=torch.bfloat16)
    products: dict[str, tuple[int, Callable[[], Any]]] = {
        "bf16": (size, lambda: torch.mm(*wide, out=out)),
        "fp32": (half, lambda: _product_of_floats(small, "ieee")),
        "tf32": (half, lambda: _product_of_floats(small, "tf32")),
    }
    if torch.cuda.get_device_capability(device) >= (8, 9):
        one = torch.ones((), device=device)
        narrow = left.to(torch.float8_e4m3fn), right.to(torch.float8_e4m3fn).t().contiguous().t()
        products["fp8"] = (
            size,
            lambda: torch._scaled_mm(  # pyright: ignore[reportPrivateImportUsage]
                *narrow, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
            ),
        )
    return products


def _product_of_floats(pair: Sequence[torch.Tensor], precision: str) -> torch.Tensor:
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return torch.mm(*pair)
