"""Times of variants foretold from those of others that share their values: sums of main effects.

Pure. Each value of each constant has one effect on the time, or on its logarithm: what fits better.
Where constants act on one another both fit badly; how badly is measured, and widens what a forecast
may be off by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FREE = 8
"""Times beyond the number of effects, without which nothing is foretold."""
SIGMAS = 3.0
ROUNDS = 30
"""Passes over the constants, each of which halves what is left of the error or more."""
Values = Mapping[str, Any]
Level = tuple[str, str]


@dataclass(frozen=True)
class ForetoldTimes:
    """What times are foretold.

    Attributes:
        us: by variant that was not timed, its time.
        slack: by which factor a time may be off.
    """

    us: Mapping[str, float]
    slack: float

    def least(self, name: str) -> float:
        """The least time that the variant may take; none is too short for one without forecast."""
        return self.us[name] / self.slack if name in self.us else 0.0


def levels_of(values: Mapping[str, Values]) -> dict[str, tuple[Level, ...]]:
    """By variant the value of each constant that differs between them; absent is a value, too."""
    constants = dict.fromkeys(constant for some in values.values() for constant in some)
    by_name = {
        name: tuple((constant, repr(some.get(constant))) for constant in constants)
        for name, some in values.items()
    }
    shared = set.intersection(*map(set, by_name.values())) if by_name else set()
    return {
        name: tuple(level for level in levels if level not in shared)
        for name, levels in by_name.items()
    }


def effects_number(levels: Mapping[str, Sequence[Level]]) -> int:
    """How many effects have to be found: the mean, and one less than each constant has values."""
    found = {level for some in levels.values() for level in some}
    return 1 + len(found) - len({constant for constant, _ in found})


def forecast(
    levels: Mapping[str, Sequence[Level]], times: Mapping[str, float]
) -> ForetoldTimes | None:
    """The times of the variants that have none; None while too few have one.

    Args:
        times: in µs, of some of the variants.
    """
    timed = {name: us for name, us in times.items() if us > 0}
    free = len(timed) - effects_number({name: levels[name] for name in timed})
    if free < FREE:
        return None
    forms = [
        _fitted({name: math.log(us) for name, us in timed.items()}, levels, math.exp),
        _fitted(timed, levels, lambda us: us),
    ]
    found = [
        _with_slack(form, timed, free) for form in forms if all(us > 0 for us in form.values())
    ]
    return min(found, key=lambda form: form.slack)


def _fitted(
    known: Mapping[str, float],
    levels: Mapping[str, Sequence[Level]],
    us_of: Callable[[float], float],
) -> dict[str, float]:
    """The time, in µs, of each variant whose values all have an effect that is known.

    Args:
        known: what effects add up to, of those that were timed.
        us_of: the time that such a sum stands for.
    """
    mean = sum(known.values()) / len(known)
    with_level: dict[Level, list[str]] = {}
    for name in known:
        for level in levels[name]:
            with_level.setdefault(level, []).append(name)
    effects = dict.fromkeys(with_level, 0.0)

    def summed(name: str) -> float:
        return mean + sum(effects[level] for level in levels[name])

    for _ in range(ROUNDS):
        for level, names in with_level.items():
            effects[level] += sum(known[name] - summed(name) for name in names) / len(names)
    foretellable = (name for name in levels if all(level in effects for level in levels[name]))
    return {name: us_of(summed(name)) for name in foretellable}


def _with_slack(
    fitted: Mapping[str, float], timed: Mapping[str, float], free: int
) -> ForetoldTimes:
    """The forecast of those that were not timed, and what those that were say that it is worth."""
    errors = [math.log(us / fitted[name]) for name, us in timed.items()]
    spread = math.sqrt(sum(error**2 for error in errors) / free)
    off = max(SIGMAS * spread, *map(abs, errors))
    foretold = {name: us for name, us in fitted.items() if name not in timed}
    return ForetoldTimes(foretold, math.exp(off))
