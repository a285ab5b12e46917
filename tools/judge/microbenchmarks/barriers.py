"""Measures barriers of a block, of a cluster and of the whole grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...devices.measurements import Microbenchmark
from .findings import Findings
from .stopwatch import Stopwatch

STEPS = (200, 1200)
BLOCK_THREADS = (128, 256, 512, 1024)
CLUSTERS = (2, 4, 8)
THREADS = 128
HOPPER = (9, 0)


def measure_barriers(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times barriers in a row, nothing between them."""
    source = Path(__file__).with_name("barriers.cu").read_text(encoding="utf-8")
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    out = torch.zeros(processors, dtype=torch.int32, device=device)
    state = torch.zeros(2, dtype=torch.int32, device=device)
    block = torch.cuda._compile_kernel(source, "block_barrier")
    grid = torch.cuda._compile_kernel(source, "grid_barrier")

    def launched(made: Any, blocks: int, threads: int, *more: Any) -> Callable[[int], None]:
        return lambda steps: made((blocks, 1, 1), (threads, 1, 1), [out, *more, steps])

    acts = {f"block {threads}": launched(block, 1, threads) for threads in BLOCK_THREADS}
    if torch.cuda.get_device_capability(device) >= HOPPER:
        for size in CLUSTERS:
            text = f"#define CLUSTER {size}\n{source}"
            made = torch.cuda._compile_kernel(text, "cluster_barrier")
            acts[f"cluster {size}"] = launched(made, size, THREADS)
    else:
        found.skip(Microbenchmark.BARRIER, "cluster", "this device has no clusters")
    acts["grid"] = launched(grid, processors, THREADS, state)
    for name, (each, samples) in watch.per_step(acts, STEPS).items():
        found.samples[f"barrier {name}"] = samples
        kind, _, size = name.partition(" ")
        at = {"threads": int(size)} if kind == "block" else {"threads": THREADS}
        at |= {"blocks": int(size)} if kind == "cluster" else {}
        at |= {"blocks": processors} if kind == "grid" else {}
        found.add(Microbenchmark.BARRIER, f"barrier of a {kind}", each * 1e3, "ns", **at)
