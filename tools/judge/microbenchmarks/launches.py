"""Measures what an empty kernel takes, and what each further one adds."""

from __future__ import annotations

import statistics

import torch

from ...devices.measurements import Microbenchmark
from .findings import Findings, rate
from .stopwatch import Act, Stopwatch

CHAIN = 9
_EMPTY = 'extern "C" __global__ void empty_kernel(int* out) {}'


def measure_launches(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times an empty kernel, and what each further one adds, in a stream and in a CUDA graph."""
    empty = torch.cuda._compile_kernel(_EMPTY, "empty_kernel")
    out = torch.zeros(1, dtype=torch.int32, device=device)

    def launch(count: int) -> None:
        for _ in range(count):
            empty((1, 1, 1), (32, 1, 1), [out])

    def replayed(count: int) -> Act:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launch(count)
        return graph.replay

    acts: dict[str, Act] = {
        f"stream {count}": lambda count=count: launch(count) for count in (1, 2, CHAIN)
    }
    launch(1)
    acts |= {f"graph {count}": replayed(count) for count in (1, CHAIN)}
    spans = watch.spans(acts, 2 * CHAIN)
    found.samples |= {f"empty kernels, {name}": taken for name, taken in spans.items()}
    middle = {name: statistics.median(taken) for name, taken in spans.items()}
    further = (middle[f"stream {CHAIN}"] - middle["stream 1"]) / (CHAIN - 1)
    in_graph = (middle[f"graph {CHAIN}"] - middle["graph 1"]) / (CHAIN - 1)
    for name, value in (
        ("one empty kernel", middle["stream 1"]),
        ("a second launch", middle["stream 2"] - middle["stream 1"]),
        (f"each further launch of {CHAIN}", further),
        (f"each further kernel of a CUDA graph of {CHAIN}", in_graph),
    ):
        found.add(Microbenchmark.LAUNCH, name, value, "µs")
    found.rates["launch_us"] = rate(middle["stream 1"], "span of one empty kernel, cold cache")
    found.rates["dependent_kernel_us"] = rate(further, "each further empty kernel of nine")
