"""Measures tensor cores: products of matrices by torch, and one instruction by shape."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...devices.measurements import Microbenchmark
from .findings import Findings, rate
from .matrix_kernels import MMA, MMA_FLOPS, MMA_TILES, WgmmaShape
from .stopwatch import Stopwatch

GEMM_N = 8192
OPERAND_WORDS = 12_288
MMA_STEPS = (1_024, 5_120)
MMA_WARPS = (4, 8, 16)
WGMMA_STEPS = (32, 128)
WGMMA_CAPABILITY = (9, 0)
SHAPES = (
    *(
        WgmmaShape("bf16", n, warpgroups)
        for n in (8, 16, 32, 64, 128, 256)
        for warpgroups in (1, 2)
    ),
    *(WgmmaShape("bf16", n, 2, registers=True) for n in (64, 128, 256)),
    *(WgmmaShape("fp8", n, 2) for n in (64, 128, 256)),
)


def measure_products(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times products of random square matrices in each precision that the device has."""
    for precision, (size, act) in _products(device).items():
        try:
            spans = watch.spans({precision: act}, warm=True)[precision]
        except RuntimeError as error:
            found.skip(Microbenchmark.TENSOR, precision, error)
            continue
        found.samples[f"gemm_{precision}_us"] = spans
        reached = 2.0 * size**3 / statistics.median(spans) * 1e6
        how = f"product of random {size} x {size} matrices"
        found.add(
            Microbenchmark.TENSOR, "torch.mm", reached / 1e12, "TFLOP/s", type=precision, n=size
        )
        found.flops[precision] = rate(reached, how)


def measure_instructions(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times tensor-core instructions back to back, one block on every multiprocessor."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    out = torch.zeros(processors * 512, device=device)
    data = {
        "bf16": torch.randn(2 * OPERAND_WORDS, device=device).bfloat16().view(torch.int32),
        "fp8": torch.randn(4 * OPERAND_WORDS, device=device)
        .to(torch.float8_e4m3fn)
        .view(torch.int32),
    }

    def launched(made: Any, threads: int, operands: torch.Tensor) -> Callable[[int], None]:
        return lambda steps: made((processors, 1, 1), (threads, 1, 1), [operands, out, steps])

    made = torch.cuda._compile_kernel(MMA, "mma_rate")
    acts = {f"mma {warps}": launched(made, 32 * warps, data["bf16"]) for warps in MMA_WARPS}
    for name, (each, samples) in watch.per_step(acts, MMA_STEPS).items():
        warps = int(name.split()[1])
        found.samples[f"rate {name}"] = samples
        reached = MMA_FLOPS * MMA_TILES * warps * processors / each / 1e6
        at: dict[str, int | str] = {"shape": "m16n8k16", "type": "bf16", "warps per SM": warps}
        found.add(Microbenchmark.TENSOR, "mma.sync", reached, "TFLOP/s", **at)
    if torch.cuda.get_device_capability(device) != WGMMA_CAPABILITY:
        why = "only Hopper has wgmma; no other instruction than mma.sync is measured here"
        found.skip(Microbenchmark.TENSOR, "wgmma", why)
        return
    acts = {str(number): _wgmma(shape, launched, data) for number, shape in enumerate(SHAPES)}
    for shape, (each, samples) in zip(
        SHAPES, watch.per_step(acts, WGMMA_STEPS).values(), strict=True
    ):
        found.samples[f"rate {shape}"] = samples
        reached = shape.flops(_scale(shape)) * processors / each / 1e6
        at = {"shape": shape.words, "type": shape.precision, "warpgroups per SM": shape.warpgroups}
        at |= {"left operand": "registers" if shape.registers else "shared memory"}
        found.add(Microbenchmark.TENSOR, "wgmma", reached, "TFLOP/s", **at)


def _wgmma(
    shape: WgmmaShape, launched: Callable[..., Callable[[int], None]], data: dict[str, torch.Tensor]
) -> Callable[[int], None]:
    made = torch.cuda._compile_kernel(shape.source(), "wgmma_rate", compute_capability="90a")
    act = launched(made, 128 * shape.warpgroups, data[shape.precision])
    return lambda steps: act(steps * _scale(shape))


def _scale(shape: WgmmaShape) -> int:
    """How many steps of a shape are one: narrow ones are short."""
    return max(1, 64 // shape.n)


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
