"""Rounds of the built-in agent without a server: its proposals, and times by a formula."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

from kernel_harness.tools.agents.tuner.memory import EditEnd, EditOutcome, outcome_of
from kernel_harness.tools.agents.tuner.proposals import proposals

Times = Callable[[Mapping[str, str]], list[float] | None]
"""Takes a program; returns its times by size, or None where it is wrong."""
NOISE = 0.004


def rounds_to(
    sources: Mapping[str, str], times: Times, goal: float, *, count: int, seed: int, most: int
) -> int:
    """Rounds until the best of each size is on average within `goal` µs; `most` + 1 where never."""
    rng = random.Random(seed)
    known: list[EditOutcome] = []
    here: dict[str, list[EditOutcome]] = {}
    parent = dict(sources)
    held = times(parent)
    assert held is not None
    for number in range(1, most + 1):
        tried = here.setdefault(str(parent), [])
        before = times(parent)
        assert before is not None
        best, most_gain = parent, 1.005
        for found in proposals(parent, known, tried, count, 1_000 * seed + number):
            after = times(found.sources)
            gain = None
            if after is not None:
                held = [min(pair) for pair in zip(held, after, strict=True)]
                ratios = [math.log(b / a) for b, a in zip(before, after, strict=True)]
                gain = math.exp(sum(ratios) / len(ratios) + rng.gauss(0, NOISE))
                if gain > most_gain:
                    best, most_gain = dict(found.sources), gain
            if len(found.edits) == 1:
                outcome = outcome_of(
                    found.edits[0], gain, EditEnd.RIGHT if after else EditEnd.FAILED
                )
                known.append(outcome)
                tried.append(outcome)
        parent = best
        if sum(held) / len(held) <= goal:
            return number
    return most + 1
