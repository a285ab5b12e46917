"""What a routed call costs the host beyond the bare call, for a call of four tensors.

    python benchmarks/apply_overhead.py [--calls 20000] [--rounds 15]

All are timed in one run, side by side: in each round the bare kernel, a function that only hands
four arguments on, one that also reads the address of each tensor, and the routed one, on the same
tensors without gradients. The kernel does nothing but give its first argument back, so all that is
timed is the host's way to it. With a GPU tensors lie there, and nothing is launched. Prints medians
over the rounds in microseconds, and what the routed call adds to the bare one in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from models.known_kernels import write_kernel
from rich.console import Console
from rich.table import Table

from kernel_harness.tools.applying.routing import apply
from kernel_harness.tools.schema.deployment.kernel_index import ArgumentForm

SOURCE = "def run(a, b, c, d):\n    return a\n"
FORM = ArgumentForm(("m", "n"), "bfloat16")


def bare(a: Any, b: Any, c: Any, d: Any) -> Any:
    """The kernel as a program calls it that knows nothing else."""
    return a


def handed_on(a: Any, b: Any, c: Any, d: Any) -> Any:
    """The least that anything between a program and a kernel costs."""
    return bare(a, b, c, d)


def addressed(a: Any, b: Any, c: Any, d: Any) -> Any:
    """With one attribute of each tensor: a measure of how quick this machine's torch is."""
    if (a.data_ptr() | b.data_ptr() | c.data_ptr() | d.data_ptr()) % 16:
        return None
    return bare(a, b, c, d)


def folder_for(device: str, place: Path) -> Path:
    """Writes a folder with the kernel."""
    inputs = dict.fromkeys("abcd", FORM)
    axes: dict[str, int | None] = {"m": None, "n": 128}
    judged = ({"m": 1}, {"m": 64})
    return write_kernel(
        place, device, SOURCE, axes, inputs, {"y": FORM}, judged, destination_passing=False
    )


def call_us(function: Callable[..., Any], tensors: list[torch.Tensor], calls: int) -> float:
    """Microseconds of one call."""
    a, b, c, d = tensors
    begin = time.perf_counter_ns()
    for _ in range(calls):
        function(a, b, c, d)
    return (time.perf_counter_ns() - begin) / calls / 1000


@torch.no_grad()
def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    device = "-".join(torch.cuda.get_device_name().replace("NVIDIA", " ").split()) if on_gpu else ""
    tensors = [
        torch.zeros(16, 128, dtype=torch.bfloat16, device="cuda" if on_gpu else "cpu")
        for _ in range(4)
    ]
    with tempfile.TemporaryDirectory() as place:
        routed = apply(bare, folder_for(device or "cpu", Path(place))).function
        ways = {"bare": bare, "handed on": handed_on, "addressed": addressed, "routed": routed}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, function in ways.items():
                times[name].append(call_us(function, tensors, arguments.calls))
    added = [r - b for r, b in zip(times["routed"], times["bare"], strict=True)]
    table = Table("way", "us a call", "least", title=f"four tensors on {device or 'the CPU'}")
    for name, found in times.items():
        table.add_row(name, f"{statistics.median(found):.3f}", f"{min(found):.3f}")
    table.add_row("added", f"{statistics.median(added):.3f}", f"{min(added):.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
