"""What recording calls costs a program, as ratios of its own time.

    python benchmarks/collect_overhead.py [--rounds 200] [--share 0.01]

Two programs are run with and without recorders, in turn: a small decoder's forward, whose linear
layers, norms and attention are targets, and the emptiest function that there can be, whose call is
all that is timed. In each round both ways are timed one after the other, in changing order, after
the first calls of each shape, which are measured and cost more. Of steps the means are told, of
calls the medians.
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
import torch.nn.functional as functional
from rich.console import Console
from rich.table import Table

from kernel_harness.tools.collecting.tracing import trace

NAMES = ("linear", "rms_norm", "scaled_dot_product_attention")
TARGETS = [f"torch.nn.functional.{name}" for name in NAMES]


class Layer(torch.nn.Module):
    """A layer of a decoder."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = (torch.nn.RMSNorm(width) for _ in range(2))
        self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One step for all tokens."""
        parts = self.qkv(self.before(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        found = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(found.transpose(1, 2).flatten(2))
        return x + self.down(torch.nn.functional.silu(self.up(self.between(x))))


def nothing(x: torch.Tensor) -> torch.Tensor:
    """The emptiest function."""
    return x


def seconds(act: Callable[[], Any]) -> float:
    """How long something takes; without a GPU this process alone, whatever else runs beside it."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    begin = clock()
    act()
    return clock() - begin


def decoder(arguments: argparse.Namespace, place: Path) -> tuple[float, float, float]:
    """Means of a step without and with recorders, and their ratio."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers = torch.nn.Sequential(*(Layer(arguments.width, 8) for _ in range(8))).to(device)
    x = torch.randn(1, arguments.tokens, arguments.width, device=device)

    def steps() -> None:
        for _ in range(arguments.steps):
            layers(x)
        if device == "cuda":
            torch.cuda.synchronize()

    plain: list[float] = []
    recorded: list[float] = []
    with trace(place / "decoder", TARGETS, share=arguments.share):
        wrappers = {name: vars(functional)[name] for name in NAMES}
        for _ in range(500 // arguments.steps):
            steps()  # the first calls of each shape are measured, once and for all
        for number in range(arguments.rounds):
            found: dict[bool, float] = {}
            for with_recorders in (False, True) if number % 2 else (True, False):
                for name, wrapper in wrappers.items():
                    setattr(functional, name, wrapper if with_recorders else wrapper.__wrapped__)
                found[with_recorders] = seconds(steps)
            plain.append(found[False])
            recorded.append(found[True])
        for name, wrapper in wrappers.items():
            setattr(functional, name, wrapper)
    # Means, for the calls that are chosen are few, and dear.
    means = [statistics.fmean(times) / arguments.steps for times in (plain, recorded)]
    return means[0], means[1], means[1] / means[0]


def call(arguments: argparse.Namespace, place: Path) -> tuple[float, float]:
    """Medians of one call without and with a recorder that chooses none after the first."""
    x, count = torch.zeros(1), 500  # few, so that most rounds are not interrupted

    def calls(function: Callable[..., Any]) -> Callable[[], None]:
        def act() -> None:
            for _ in range(count):
                function(x)

        return act

    plain: list[float] = []
    recorded: list[float] = []
    with trace(place / "call", [f"{__name__}.nothing_recorded"], share=1e-9):
        for _ in range(arguments.rounds):
            plain.append(seconds(calls(nothing)) / count)
            recorded.append(seconds(calls(nothing_recorded)) / count)
    return statistics.median(plain), statistics.median(recorded)


def nothing_recorded(x: torch.Tensor) -> torch.Tensor:
    """The emptiest function, recorded."""
    return x


@torch.no_grad()
def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=10, help="of the decoder in a round")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        plain, recorded, ratio = decoder(arguments, Path(place))
        one, other = call(arguments, Path(place))
    table = Table("", "without", "with", "ratio", title=f"{arguments.share:.0%} of calls recorded")
    table.add_row("a step", f"{plain * 1e3:.3f} ms", f"{recorded * 1e3:.3f} ms", f"{ratio:.4f}")
    table.add_row("a call", f"{one * 1e6:.3f} us", f"{other * 1e6:.3f} us", "none is chosen")
    Console().print(table)


if __name__ == "__main__":
    main()
