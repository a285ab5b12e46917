"""Successive halving: who is measured again, and who is not.

Pure but for the function that measures. Every contestant is measured with few calls; of each regime
those near the fastest go on to more calls, at most one in four and at least three, until so few are
left. To begin with a contestant costs far more than its calls, so the first cut is the deepest.

Of many contestants that differ in the values of constants some are not measured at all: those whose
time, foretold from the times of others that share their values, is far from the fastest.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .main_effects import FREE, Level, Values, effects_number, forecast, levels_of

KEPT = 4
"""At most one in so many goes on."""
FEWEST = 3
"""So many may go on; where so few are left and were measured twice, the regime is decided."""
NEAR = 1.05
"""Who took at most so many times the fastest's time may be the fastest."""
FORETOLD_FROM = 64
"""So many contestants are not all measured: fewer take less than a minute."""
LEAST_MEASURED = 3
"""One in so many is measured whatever is foretold."""
FAR = 1.25
"""Who is foretold to take at least so many times the fastest's time is not measured."""
AT_ONCE = 2
"""Contestants under way: while one is on the device, another is planned or written down."""
SEED = 1
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
        foretold: by contestant that was not measured, how many times the fastest's time it takes
            at least, in the regime where it does best.
    """

    times: dict[str, dict[str, RaceTime]] = field(default_factory=dict)
    rungs: dict[str, dict[str, int]] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    measured: int = 0
    foretold: dict[str, float] = field(default_factory=dict)

    def ranking(self, regime: str) -> list[str]:
        """Who was timed in a regime, the fastest first: who came further is ahead of the others."""
        timed = [n for n, times in self.times.items() if regime in times and n not in self.out]
        return sorted(timed, key=lambda n: (-self.rungs[n][regime], self.times[n][regime].us))


async def race(
    names: Sequence[str],
    regimes: Sequence[str],
    measure: Measure,
    calls: Sequence[int] = CALLS,
    values: Mapping[str, Values] | None = None,
) -> Course:
    """Measures contestants until few are left in each regime.

    Args:
        values: of each contestant's constants; without them every contestant is measured.
    """
    course = Course()
    left = {regime: list(names) for regime in regimes}
    rung = 0
    levels = levels_of({name: values.get(name, {}) for name in names}) if values else {}
    if levels and len(names) >= max(FORETOLD_FROM, 2 * effects_number(levels) + FREE):
        await _first_rung(course, regimes, measure, calls[0], levels)
        left = {regime: _going_on(course, regime, left[regime], rung) for regime in regimes}
        rung = 1
    while any(left.values()):
        entered = {name: [r for r in regimes if name in left[r]] for name in names}
        due = {n: some for n, some in entered.items() if some and n not in course.out}
        await _all_measured(course, due, measure, calls[min(rung, len(calls) - 1)])
        left = {regime: _going_on(course, regime, left[regime], rung) for regime in regimes}
        rung += 1
    return course


async def _first_rung(
    course: Course,
    regimes: Sequence[str],
    measure: Measure,
    calls: int,
    levels: Mapping[str, Sequence[Level]],
) -> None:
    """Measures some in every regime, then whom their times do not show to be far from the fastest.

    The first are drawn; a value that none of them has is met as soon as its contestants' turn
    comes, for nothing is foretold of them.
    """
    names = list(levels)
    random.Random(SEED).shuffle(names)
    first = max(math.ceil(len(names) / LEAST_MEASURED), effects_number(levels) + FREE)
    await _all_measured(course, dict.fromkeys(names[:first], regimes), measure, calls)
    waiting = names[first:]
    while waiting:
        least = {regime: _least_ratios(course, regime, waiting, levels) for regime in regimes}
        near = {n: [r for r in regimes if least[r][n] < FAR] for n in waiting}
        due = sorted(
            (n for n in waiting if near[n]), key=lambda n: min(least[r][n] for r in near[n])
        )
        if not due:
            ratios = {n: min(least[regime][n] for regime in regimes) for n in waiting}
            course.foretold.update(ratios)
            return
        taken = due[: max(1, len(names) // 20)]
        await _all_measured(course, {name: near[name] for name in taken}, measure, calls)
        waiting = [name for name in waiting if name not in taken]


def _least_ratios(
    course: Course, regime: str, names: Sequence[str], levels: Mapping[str, Sequence[Level]]
) -> dict[str, float]:
    """How many times the fastest's time each may take at least; 0 where nothing is foretold."""
    ranked = course.ranking(regime)
    times = {name: course.times[name][regime].us for name in ranked}
    found = forecast(levels, times)
    if found is None:
        return dict.fromkeys(names, 0.0)
    best = min(times.values())
    return {name: found.least(name) / best for name in names}


async def _all_measured(
    course: Course, due: Mapping[str, Sequence[str]], measure: Measure, calls: int
) -> None:
    """Measures contestants in the regimes that are due, a few of them at once."""
    waiting = iter(due.items())

    async def some(waiting: Iterable[tuple[str, Sequence[str]]]) -> None:
        for name, regimes in waiting:
            await _measured(course, name, regimes, measure, calls)

    tasks = [asyncio.ensure_future(some(waiting)) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
    most = max(FEWEST, math.ceil(len(ranked) / KEPT))
    return near[:most] if len(near) > 1 else []
