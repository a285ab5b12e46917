"""What a rule of promotion says, and the numbers that rules are held to."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """The numbers of the rules.

    Attributes:
        failure_rate: of a fault that comes by chance, which checked calls must meet.
        confidence: with which such a fault, and one on a share of the sizes, must be met.
        held_out_share: of the logarithm of the gain on public sizes, due on held-out ones.
    """

    repeats: int = 2
    failure_rate: float = 0.015
    confidence: float = 0.95
    regime_bound: float = 0.02
    outlier_workloads: int = 4
    held_out_share: float = 0.5
    checks: tuple[str, ...] = ("held_out", "determinism")

    @property
    def calls(self) -> int:
        """Checked calls that meet a fault of `failure_rate` with `confidence`."""
        return math.ceil(math.log(1 - self.confidence) / math.log(1 - self.failure_rate))


@dataclass(frozen=True)
class RuleOutcome:
    """One rule: its number, the limit it was held to, and both in words.

    `applied` is False for a rule of the clock where nothing was timed, and for what is only said
    beside the rules; it then neither passes nor fails anything.
    """

    name: str
    passed: bool
    number: float | None
    limit: float | None
    words: str
    applied: bool = True
