"""Successive halving: who is measured again, and who is not.

Pure but for the functions that measure. Every contestant is measured with few calls; of each regime
those near the fastest go on to more calls, at most one in four, until few are left.
Runs of one program differ by several per cent, whatever the number of calls in each, and some take
a fifth longer. So a contestant's time is that of its fastest run, who is near is taken widely after
one run and narrowly after two, and those left at last are told apart by calls that take turns
(`finals`), which costs little more than a run and tells far more.

Of contestants that differ in the values of constants the times of those that share their values
foretell a time. Who is foretold to be near the fastest, and was not, is measured again; of many
contestants those that are foretold to be far from it are not measured at all.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .main_effects import FREE, Level, Values, effects_number, forecast, levels_of

KEPT = 4
"""At most one in so many goes on."""
FINALISTS = 4
"""So many at most of a regime are left to be told apart by calls that take turns."""
CUT_FROM = 2 * FINALISTS
"""So many that were measured twice are cut to the fastest of them without another rung."""
FIRST_KEPT, ALONE_KEPT = 6, 10
"""So many may go on from the first rung, however few there were; of those that nothing foretells,
where one in twenty may have had a slow run, more."""
NEAR, NEAR_US = 1.06, 0.6
"""Who took at most so many times the fastest's time, and so much more, may be the fastest.

Times in a candidate's own process follow the device's clock rate, which power lowers from 1,980 to
1,560 MHz. Where it was not waited for, runs of 18 programs differed by up to 29 % from those of an
hour before; since it is, by 3.7 % at most, half of them by less than 0.8 (H200). Others may use a
device meanwhile; two slow runs in turn are rare.
"""
ALONE_NEAR = 1.27
"""The same, of those with one run whose times nothing foretells."""
AGAIN_NEAR, AGAIN_NEAR_US = 1.04, 0.25
"""The same, of those that were measured twice or more."""
DOUBTED = 4
"""So many of each regime are run again after the first rung whose times are not near, as others'
foretell them to be."""
FORETOLD_FROM = 24
"""So many contestants are not all measured: of fewer, too few runs would be spared."""
LEAST_MEASURED = 5
"""One in so many is measured whatever is foretold."""
FAR = 1.1
"""Who is foretold to take at least so many times the fastest's time is not measured.

How far a forecast may be off is counted before; this covers that the fastest of many runs was a
lucky one, by a standard deviation and more.
"""
AT_ONCE = 2
"""Contestants under way: while one is on the device, another is planned or written down."""
SEED = 1
CALLS = (8, 12)
"""Calls of each rung; the last is that of all that follow."""


@dataclass(frozen=True)
class RaceTime:
    """A contestant's time in one regime: median and interval, in µs; of several runs their mean."""

    us: float
    low: float
    high: float


Measure = Callable[[str, Sequence[str], int], Awaitable[Mapping[str, RaceTime] | None]]
"""Takes a contestant, regimes and calls; returns its times, or None when it is out of the race."""


@dataclass
class Course:
    """The course of a race.

    Attributes:
        times: by contestant and regime, that of its fastest run: what disturbs one slows it.
        rungs: by contestant and regime, on how many rungs it was measured.
        finalists: by regime, those whose times do not tell who is the fastest, the likeliest first.
        out: those that failed.
        measured: how often a contestant was measured.
        foretold: by contestant that was not measured, how many times the fastest's time it takes
            at least, in the regime where it does best.
    """

    times: dict[str, dict[str, RaceTime]] = field(default_factory=dict)
    rungs: dict[str, dict[str, int]] = field(default_factory=dict)
    finalists: dict[str, list[str]] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    measured: int = 0
    foretold: dict[str, float] = field(default_factory=dict)

    def ranking(self, regime: str) -> list[str]:
        """Who was timed in a regime, the fastest first: who came further is ahead of the others."""
        timed = [n for n, times in self.times.items() if regime in times and n not in self.out]
        last = {name: place for place, name in enumerate(self.finalists.get(regime, ()))}
        return sorted(
            timed,
            key=lambda n: (
                last.get(n, len(last)),
                -self.rungs[n][regime],
                self.times[n][regime].us,
            ),
        )

    def rungs_of(self, name: str, regime: str) -> int:
        """On how many rungs a contestant was measured in a regime."""
        return self.rungs.get(name, {}).get(regime, 0)

    def add(self, name: str, regime: str, time: RaceTime) -> None:
        """Notes one more run of a contestant."""
        rungs, times = self.rungs.setdefault(name, {}), self.times.setdefault(name, {})
        rungs[regime] = rungs.get(regime, 0) + 1
        if regime not in times or time.us < times[regime].us:
            times[regime] = time


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
    levels = levels_of({name: (values or {}).get(name, {}) for name in names})
    if not any(levels.values()):
        levels = {}
    if levels and len(names) >= max(FORETOLD_FROM, 2 * effects_number(levels) + FREE):
        await _first_rung(course, regimes, measure, calls[0], levels)
    else:
        await _all_measured(course, dict.fromkeys(names, regimes), measure, calls[0])
    left, rung = {regime: list(names) for regime in regimes}, 0
    while True:
        foretold = {regime: _foretold(course, regime, levels) for regime in regimes}
        left = {r: _going_on(course, r, left[r], rung, foretold[r]) for r in regimes}
        if not any(left.values()):
            return course
        rung += 1
        entered = {name: [r for r in regimes if name in left[r]] for name in names}
        due = {n: some for n, some in entered.items() if some and n not in course.out}
        await _all_measured(course, due, measure, calls[min(rung, len(calls) - 1)])


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
    """Measures contestants in the regimes that are due, a few of them at once.

    Who was given no time in a regime where others have one is measured there once more.
    """
    before = {name: dict(course.rungs.get(name, {})) for name in due}
    await few_at_once(
        _measured(course, name, regimes, measure, calls) for name, regimes in due.items()
    )
    timed = {regime for times in course.times.values() for regime in times}
    untimed = {
        name: [
            r for r in regimes if r in timed and course.rungs_of(name, r) == before[name].get(r, 0)
        ]
        for name, regimes in due.items()
        if name not in course.out
    }
    await few_at_once(
        _measured(course, name, regimes, measure, calls)
        for name, regimes in untimed.items()
        if regimes
    )


async def few_at_once(work: Iterable[Awaitable[Any]]) -> None:
    """Awaits all of them, `AT_ONCE` under way; an error ends those, and no other is begun."""
    waiting = iter(work)

    async def some() -> None:
        for one in waiting:
            await one

    tasks = [asyncio.ensure_future(some()) for _ in range(AT_ONCE)]
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
            course.add(name, regime, found[regime])


def _foretold(
    course: Course, regime: str, levels: Mapping[str, Sequence[Level]]
) -> Mapping[str, float]:
    """The times in a regime that shared values foretell, of who was measured, too."""
    times = {name: course.times[name][regime].us for name in course.ranking(regime)}
    found = forecast(levels, times) if levels and times else None
    return found.us if found is not None else {}


def _going_on(
    course: Course,
    regime: str,
    entered: Sequence[str],
    rung: int,
    foretold: Mapping[str, float] | None = None,
) -> list[str]:
    """Who is measured on the next rung of a regime; nobody when its finalists are found.

    Args:
        foretold: times that others foretell; who is slow by its own alone goes on.
    """
    ranked = [
        name
        for name in course.ranking(regime)
        if name in entered and course.rungs[name][regime] == rung + 1
    ]
    if not ranked:
        return []
    best = course.times[ranked[0]][regime]
    if rung:
        reach, least = AGAIN_NEAR * best.us + AGAIN_NEAR_US, FINALISTS
    elif foretold:
        reach, least = NEAR * best.us + NEAR_US, FIRST_KEPT
    else:
        reach, least = max(NEAR * best.us + NEAR_US, ALONE_NEAR * best.us), ALONE_KEPT
    reach = max(best.high, reach)
    near = [name for name in ranked if course.times[name][regime].low <= reach]
    kept = near[: max(math.ceil(len(ranked) / KEPT), least)]
    doubted = _doubted(ranked, kept, foretold or {}) if not rung else []
    if len(kept) + len(doubted) <= (CUT_FROM if rung else FINALISTS):
        course.finalists[regime] = [*kept[:FINALISTS], *doubted]
        return []
    return [*kept, *doubted]


def _doubted(
    ranked: Sequence[str], kept: Sequence[str], foretold: Mapping[str, float]
) -> list[str]:
    """Those that would be left out, and are foretold to be as near the fastest as who is kept."""
    known = {name: foretold[name] for name in ranked if name in foretold}
    if not known:
        return []
    reach = NEAR * min(known.values())
    left = [name for name in known if name not in kept and known[name] <= reach]
    return sorted(left, key=lambda name: known[name])[:DOUBTED]
