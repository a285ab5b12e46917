"""Measures what an empty kernel takes, and what each further one adds."""

from __future__ import annotations

import statistics

import torch

from .findings import Findings, rate
from .stopwatch import Stopwatch

_EMPTY = 'extern "C" __global__ void empty_kernel(int* out) {}'


def measure_launches(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times an empty kernel, and what each further dependent one adds."""
    empty = torch.cuda._compile_kernel(_EMPTY, "empty_kernel")
    out = torch.zeros(1, dtype=torch.int32, device=device)

    def launch(count: int) -> None:
        for _ in range(count):
            empty((1, 1, 1), (32, 1, 1), [out])

    chains = {count: watch.spans_us(lambda count=count: launch(count), 20) for count in (1, 2, 9)}
    for count, spans in chains.items():
        found.samples[f"empty_chain_{count}_us"] = spans
    one = statistics.median(chains[1])
    further = (statistics.median(chains[9]) - one) / 8
    found.rates["launch_us"] = rate(one, "span of one empty kernel, cold cache")
    found.rates["dependent_kernel_us"] = rate(further, "each further empty kernel of nine")
