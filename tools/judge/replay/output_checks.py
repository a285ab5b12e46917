"""Every timed output against what was expected: which replays were wrong, and how the first was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

POISON_BYTES = (0xFF, 0xA5, 0x7E, 0x5A)
"""The first is NaN in every float format; two of them in turn show what a call left unwritten."""
Compare = Callable[[str, torch.Tensor, torch.Tensor], str | None]
"""Output name, what came, what was expected → None if it agrees, else how it does not."""


@dataclass(frozen=True)
class OutputCheck:
    """What became of the outputs of some replays."""

    checked: int
    wrong: int
    first: str = ""


def poison_bytes(calls: int, seed: int) -> list[int]:
    """A poison byte for each call: neighbours differ, and the order begins where `seed` says."""
    return [POISON_BYTES[(seed + number) % len(POISON_BYTES)] for number in range(calls)]


def check_outputs(
    came: Sequence[Mapping[str, torch.Tensor]],
    expected: Sequence[Mapping[str, torch.Tensor]],
    compare: Compare,
) -> OutputCheck:
    """Compares all outputs of all replays.

    Args:
        came: for each replay, its outputs by name.
        expected: the same of what it must give.
        compare: decides on one output.
    """
    wrong, first = 0, ""
    for number, (mine, theirs) in enumerate(zip(came, expected, strict=True)):
        faults = [
            f"replay {number}, output {name}: {fault}"
            for name, value in theirs.items()
            if (fault := compare(name, mine[name], value)) is not None
        ]
        wrong += bool(faults)
        first = first or (faults[0] if faults else "")
    return OutputCheck(len(came), wrong, first)


def same_bits(_name: str, came: torch.Tensor, expected: torch.Tensor) -> str | None:
    """Demands equality bit for bit, NaNs included."""
    mine, theirs = (t.contiguous().flatten().view(torch.uint8) for t in (came, expected))
    differing = int((mine != theirs).sum())
    return f"{differing} of {mine.numel()} bytes differ" if differing else None
