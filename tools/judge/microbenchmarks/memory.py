"""Measures copies by size and policy, and one dependent load by where it is answered from."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ...devices.measurements import Microbenchmark
from .findings import Findings, rate
from .stopwatch import Stopwatch

SIZES = (1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30)
"""Bytes of one array; the larger ones exceed every cache."""
LARGE = 64 << 20
"""From here on a copy shows what device memory sustains."""
WORD_BYTES = 16
TILE_BYTES = 8192
THREADS = 256
BLOCKS_PER_SM = 8
CHASE_BYTES = {"L1": 16 << 10, "L2": 8 << 20, "device memory": 512 << 20}
CHASE_STEPS = (512, 4608)
RING = 1024
HOPPER = (9, 0)
COPIES = {
    "16-byte loads": "copy_plain",
    "four 16-byte loads in flight": "copy_four",
    "streaming loads and stores (.cs)": "copy_streaming",
    "cp.async through shared memory": "copy_async",
}
BULK = "bulk copies (cp.async.bulk)"
LIBRARY = "torch's copy_"
Launch = Callable[[int], None]


def kernel(name: str) -> Any:
    """A kernel of memory.cu, compiled for the current device."""
    source = Path(__file__).with_name("memory.cu").read_text(encoding="utf-8")
    return torch.cuda._compile_kernel(source, name)


# --- copies -----------------------------------------------------------------------------------


def measure_copies(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Copies, reads and writes arrays of growing size in every way that a kernel has."""
    source = torch.randn(SIZES[-1] // 4, device=device)
    target = torch.empty_like(source)
    ways = _ways(source, target, device)
    _require_copies(ways, source, target)
    acts = {
        f"{name} {size}": lambda act=act, size=size: act(size)
        for size in SIZES
        for name, act in ways.items()
    }
    spans = watch.spans(acts)
    for size in SIZES:
        for name in ways:
            taken = statistics.median(spans[f"{name} {size}"])
            moved = size if name in ("read", "write") else 2 * size
            found.samples[f"{name} {size}"] = spans[f"{name} {size}"]
            found.add(Microbenchmark.COPY, name, moved / taken / 1e6, "TB/s", bytes=size)
    large = [
        figure
        for figure in found.figures[Microbenchmark.COPY]
        if int(figure.at["bytes"]) >= LARGE and figure.name not in ("read", "write")
    ]
    best = max(large, key=lambda figure: figure.value)
    how = f"copy of {int(best.at['bytes']) >> 20} MiB by {best.name}, bytes read and written"
    found.rates["memory_bytes_per_s"] = rate(best.value * 1e12, how)


def _ways(source: torch.Tensor, target: torch.Tensor, device: torch.device) -> dict[str, Launch]:
    """By name, what moves that many bytes."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    out = torch.zeros(1, dtype=torch.int32, device=device)

    def words(name: str, *before: torch.Tensor, after: tuple[int, ...] = ()) -> Launch:
        made = kernel(name)

        def launch(size: int) -> None:
            count = size // WORD_BYTES
            blocks = min(-(-count // THREADS), BLOCKS_PER_SM * processors)
            made((blocks, 1, 1), (THREADS, 1, 1), [*before, count, *after])

        return launch

    def library(size: int) -> None:
        target[: size // 4].copy_(source[: size // 4])

    ways: dict[str, Launch] = {LIBRARY: library}
    ways |= {way: words(name, source, target) for way, name in COPIES.items()}
    if torch.cuda.get_device_capability(device) >= HOPPER:
        bulk = kernel("copy_bulk")

        def launch_bulk(size: int) -> None:
            tiles = size // TILE_BYTES
            blocks = min(tiles, 4 * processors)
            bulk((blocks, 1, 1), (32, 1, 1), [source, target, tiles])

        ways[BULK] = launch_bulk
    ways["read"] = words("read_words", source, out)
    ways["write"] = words("write_words", target, after=(7,))
    return ways


def _require_copies(ways: Mapping[str, Launch], source: torch.Tensor, target: torch.Tensor) -> None:
    """Raises RuntimeError where a way does not copy what it is timed for."""
    count = SIZES[1] // 4
    for name, act in ways.items():
        if name in ("read", "write"):
            continue
        target.zero_()
        act(SIZES[1])
        if not torch.equal(target[:count], source[:count]) or bool(target[count:].any()):
            raise RuntimeError(f"{name} did not copy what it was given")


# --- latency ----------------------------------------------------------------------------------


def measure_load_latency(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times one thread that follows a random cycle through memory, and one that adds atomically."""
    chase = kernel("chase_global")
    out = torch.zeros(1, dtype=torch.int32, device=device)
    ring, words = _cycle(RING, device), torch.zeros(2, dtype=torch.int32, device=device)
    cycles = {name: _cycle(size // 4, device) for name, size in CHASE_BYTES.items()}

    def one_thread(made: Any, start: torch.Tensor, blocks: int = 1) -> Launch:
        return lambda steps: made((blocks, 1, 1), (1, 1, 1), [start, out, steps])

    warm = {
        "shared memory": one_thread(kernel("chase_shared"), ring),
        "L1": one_thread(chase, cycles["L1"]),
        "L2": one_thread(chase, cycles["L2"]),
        "atomic add on one word": one_thread(kernel("chase_atomics"), words),
    }
    if torch.cuda.get_device_capability(device) >= HOPPER:
        neighbour = one_thread(kernel("chase_neighbour"), ring, blocks=2)
        warm["shared memory of another block of the cluster"] = neighbour
    cold = {"device memory": one_thread(chase, cycles["device memory"])}
    steps = watch.per_step(warm, CHASE_STEPS) | watch.per_step(cold, CHASE_STEPS, warm=False)
    for name, (each, samples) in steps.items():
        found.samples[f"chase {name}"] = samples
        found.add(Microbenchmark.LATENCY, name, each * 1e3, "ns")
    many = CHASE_STEPS[1] - CHASE_STEPS[0]
    found.rates["memory_latency_us"] = rate(
        steps["device memory"][0],
        f"{many} dependent loads over {CHASE_BYTES['device memory'] >> 20} MiB",
    )


def _cycle(elements: int, device: torch.device) -> torch.Tensor:
    """For each element the next one of a random cycle through all."""
    order = torch.randperm(elements, device=device, dtype=torch.int64)
    following = torch.empty(elements, dtype=torch.int32, device=device)
    following[order] = torch.roll(order, -1).to(torch.int32)
    return following
