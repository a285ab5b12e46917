"""Successive halving: who is measured again, and who is not.

Pure but for the function that measures. Every contestant is measured with few calls; of each regime
those near the fastest go on to more calls, at most one in four and at least three, until so few are
left. To begin with a contestant costs far more than its calls, so the first cut is the deepest.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

KEPT = 4
"""At most one in so many goes on."""
FEWEST = 3
"""So many go on at least; where so few are left and were measured twice, the regime is decided."""
NEAR = 1.05
"""Who took at most so many times the fastest's time may be the fastest."""
CALLS = (10, 30)
"""RaceTime calls of each rung; the last is that of all that follow."""


@dataclass(frozen=True)
class RaceTime:
    """A contestant's time in one regime: median and interval, in µs."""

    us: float
    low: float
    high: float


Measure = Callable[[str, Sequence[str], int], Awaitable[Mapping[str, RaceTime] | None]]
"""Takes a contestant, regimes and calls; returns its times, or None when it is out of the race."""


@dataclass
class Course:
    """The course of a race.

    Attributes:
        times: by contestant and regime, the last that were measured.
        rungs: by contestant and regime, on how many rungs it was measured.
        out: those that failed.
        measured: how often a contestant was measured.
    """

    times: dict[str, dict[str, RaceTime]] = field(default_factory=dict)
    rungs: dict[str, dict[str, int]] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    measured: int = 0

    def ranking(self, regime: str) -> list[str]:
        """Who was timed in a regime, the fastest first: who came further is ahead of the others."""
        timed = [n for n, times in self.times.items() if regime in times and n not in self.out]
        return sorted(timed, key=lambda n: (-self.rungs[n][regime], self.times[n][regime].us))


async def race(
    names: Sequence[str],
    regimes: Sequence[str],
    measure: Measure,
    calls: Sequence[int] = CALLS,
) -> Course:
    """Measures contestants until few are left in each regime."""
    course = Course()
    left = {regime: list(names) for regime in regimes}
    rung = 0
    while any(left.values()):
        for name in names:
            entered = [regime for regime in regimes if name in left[regime]]
            if entered and name not in course.out:
                await _measured(course, name, entered, measure, calls[min(rung, len(calls) - 1)])
        left = {regime: _going_on(course, regime, left[regime], rung) for regime in regimes}
        rung += 1
    return course


async def _measured(
    course: Course, name: str, regimes: Sequence[str], measure: Measure, calls: int
) -> None:
    found = await measure(name, regimes, calls)
    course.measured += 1
    if found is None:
        course.out.add(name)
        return
    for regime in regimes:
        if regime in found:
            course.times.setdefault(name, {})[regime] = found[regime]
            rungs = course.rungs.setdefault(name, {})
            rungs[regime] = rungs.get(regime, 0) + 1


def _going_on(course: Course, regime: str, entered: Sequence[str], rung: int) -> list[str]:
    """Who is measured on the next rung of a regime; nobody when it is decided."""
    ranked = [
        name
        for name in course.ranking(regime)
        if name in entered and course.rungs[name][regime] == rung + 1
    ]
    if len(ranked) < 2 or (rung and len(ranked) <= FEWEST):
        return []
    best = course.times[ranked[0]][regime]
    reach = max(best.high, NEAR * best.us)
    near = [name for name in ranked if course.times[name][regime].low <= reach]
    return ranked[: max(FEWEST, min(len(near), math.ceil(len(ranked) / KEPT)))]
