"""What recording calls costs a program, as ratios of its own time.

    python benchmarks/collect_overhead.py [--rounds 200] [--share 0.01] [--parts]

Two programs are run with and without recorders, in turn: a small decoder's forward, whose linear
layers, norms and attention are targets, and the emptiest function that there can be, whose call is
all that is timed. In each round both ways are timed one after the other, in changing order, after
the first calls of each shape, which are measured and cost more. Of steps the means are told, with
an interval of 95 % of their ratio by rounds, of calls the medians. With --parts a recorded call in
the decoder is taken apart: microseconds of each part, what torch computes in it, and how often it
waits for the device.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode

from kernel_harness.tools.collecting.recording import traced_function
from kernel_harness.tools.collecting.recording.call_groups import CallGroup
from kernel_harness.tools.collecting.recording.traced_function import TracedFunction
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


def decoder_steps(arguments: argparse.Namespace) -> Callable[[], None]:
    """Makes a decoder, and gives back what runs some steps of it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers = torch.nn.Sequential(*(Layer(arguments.width, 8) for _ in range(8))).to(device)
    x = torch.randn(1, arguments.tokens, arguments.width, device=device)

    def steps() -> None:
        for _ in range(arguments.steps):
            layers(x)
        if device == "cuda":
            torch.cuda.synchronize()

    return steps


def decoder(
    arguments: argparse.Namespace, place: Path
) -> tuple[float, float, float, tuple[float, float]]:
    """Means of a step without and with recorders, their ratio, and its interval."""
    steps = decoder_steps(arguments)
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
    chosen = np.random.default_rng(0).integers(len(plain), size=(2000, len(plain)))
    ratios = np.array(recorded)[chosen].mean(1) / np.array(plain)[chosen].mean(1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return means[0], means[1], means[1] / means[0], (float(low), float(high))


PARTS: dict[str, tuple[Any, str]] = {
    "in all": (TracedFunction, "_chosen"),
    "before the call": (TracedFunction, "_entered"),
    "its inputs": (TracedFunction, "_inputs"),
    "its group's key": (traced_function, "key_of"),
    "samples of values": (TracedFunction, "_sample"),
    "contents that are kept": (CallGroup, "keep"),
    "after the call": (TracedFunction, "_left"),
}
"""What a recorded call is made of, where the recorder has it; the program's call, which is in the
first, is taken off."""


@contextlib.contextmanager
def replaced(make: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Has each part replaced by what is made of it, until it is left."""
    with contextlib.ExitStack() as stack:
        for part, (owner, name) in PARTS.items():
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, make(part, getattr(owner, name)))
        yield


def parts_of_a_call(arguments: argparse.Namespace, place: Path) -> dict[str, list[float]]:
    """Microseconds of each part of recorded calls of the decoder, those of the program's taken off.

    A part has those within it, and a microsecond or two for each clock.
    """
    steps = decoder_steps(arguments)
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    of_program = [0.0]

    def clocked(part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def in_all(recorder: Any, original: Any, args: Any, kwargs: Any) -> Any:
            def program(*args: Any, **kwargs: Any) -> Any:
                begin = time.perf_counter()
                result = original(*args, **kwargs)
                of_program[0] = time.perf_counter() - begin
                return result

            begin = time.perf_counter()
            result = act(recorder, program, args, kwargs)
            found[part].append((time.perf_counter() - begin - of_program[0]) * 1e6)
            return result

        def within(*args: Any) -> Any:
            begin = time.perf_counter()
            result = act(*args)
            found[part].append((time.perf_counter() - begin) * 1e6)
            return result

        return in_all if part == "in all" else within

    with replaced(clocked), trace(place / "parts", TARGETS, share=arguments.share):
        for _ in range(500 // arguments.steps):
            steps()  # the first calls of each shape, as above
        for times in found.values():
            times.clear()
        for _ in range(arguments.rounds):
            steps()
    return found


class Operators(TorchDispatchMode):
    """Counts what torch computes."""

    def __init__(self, seen: collections.Counter[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.seen[str(function)] += 1
        return function(*args, **(kwargs or {}))


def computed_in_calls(
    arguments: argparse.Namespace, place: Path
) -> tuple[int, collections.Counter[str], int]:
    """Recorded calls of the decoder, what torch computed in them, and how often they waited."""
    steps = decoder_steps(arguments)
    seen: collections.Counter[str] = collections.Counter()
    calls = itertools.count()
    waits = 0

    def watched(part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        if part not in ("before the call", "after the call"):
            return act

        def within(*args: Any) -> Any:
            nonlocal waits
            if part == "before the call":
                next(calls)
            with warnings.catch_warnings(record=True) as said, Operators(seen):
                warnings.simplefilter("always")
                if torch.cuda.is_available():
                    torch.cuda.set_sync_debug_mode("warn")
                result = act(*args)
                if torch.cuda.is_available():
                    torch.cuda.set_sync_debug_mode("default")
            waits += sum("called a synchronizing" in str(one.message) for one in said)
            return result

        return within

    with trace(place / "computed", TARGETS, share=arguments.share):
        for _ in range(500 // arguments.steps):
            steps()
        with replaced(watched):
            for _ in range(arguments.rounds):
                steps()
    return next(calls), seen, waits


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
    parser.add_argument("--parts", action="store_true", help="take a recorded call apart, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        plain, recorded, ratio, (low, high) = decoder(arguments, Path(place))
        one, other = call(arguments, Path(place))
    table = Table("", "without", "with", "ratio", title=f"{arguments.share:.0%} of calls recorded")
    words = f"{ratio:.4f} ({low:.4f}–{high:.4f})"
    table.add_row("a step", f"{plain * 1e3:.3f} ms", f"{recorded * 1e3:.3f} ms", words)
    table.add_row("a call", f"{one * 1e6:.3f} us", f"{other * 1e6:.3f} us", "none is chosen")
    Console().print(table)
    if arguments.parts:
        with tempfile.TemporaryDirectory() as place:
            say_parts(arguments, Path(place))


def say_parts(arguments: argparse.Namespace, place: Path) -> None:
    """Prints what a recorded call is made of."""
    parts = parts_of_a_call(arguments, place)
    table = Table("part", "median", "mean", "of ten one", title="us of a recorded call")
    for part, times in parts.items():
        if len(times) > 1:
            median, mean = statistics.median(times), statistics.fmean(times)
            tenth = statistics.quantiles(times, n=10)[-1]
            table.add_row(part, f"{median:.1f}", f"{mean:.1f}", f"{tenth:.1f}")
    Console().print(table)
    calls, seen, waits = computed_in_calls(arguments, place)
    said = ", ".join(f"{name} {count}" for name, count in seen.most_common(8)) or "nothing"
    Console().print(f"In {calls} recorded calls torch computed {said}, and waited {waits} times.")


if __name__ == "__main__":
    main()
