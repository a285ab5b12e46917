"""Times of variants foretold from those of others that share their values: sums of main effects.

Pure. Each value of each constant has one effect on the time, or on its logarithm: what fits better.
Where constants act on one another both fit badly; how badly is measured, and widens what a forecast
may be off by.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FREE = 8
"""Times beyond the number of effects, without which nothing is foretold."""
SIGMAS = 3.0
ROUNDS = 30
"""Passes over the constants, each of which halves what is left of the error or more."""
MAD, USUAL_ERRORS = 1.4826, 1.5
"""An error beyond so many standard deviations, told by the median error, counts less."""
LEAST_ERROR = 0.002
Values = Mapping[str, Any]
Level = tuple[str, str]


@dataclass(frozen=True)
class ForetoldTimes:
    """What times are foretold.

    Attributes:
        us: by variant, the time that the values which it shares with others foretell.
        slack: by which factor a time may be shorter.
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
    """The times that shared values foretell; None while too few variants have one.

    Args:
        times: in µs, of some of the variants.
    """
    timed = {name: us for name, us in times.items() if us > 0}
    free = len(timed) - effects_number({name: levels[name] for name in timed})
    if free < FREE:
        return None
    forms = [
        _fitted({name: math.log(us) for name, us in timed.items()}, levels, math.exp, LEAST_ERROR),
        _fitted(timed, levels, lambda us: us, LEAST_ERROR * min(timed.values())),
    ]
    found = [
        _with_slack(form, timed, free) for form in forms if all(us > 0 for us in form.values())
    ]
    return min(found, key=lambda form: form.slack)


def _fitted(
    known: Mapping[str, float],
    levels: Mapping[str, Sequence[Level]],
    us_of: Callable[[float], float],
    least_error: float,
) -> dict[str, float]:
    """The time, in µs, of each variant whose values all have an effect that is known.

    Args:
        known: what effects add up to, of those that were timed.
        us_of: the time that such a sum stands for.
        least_error: of a time, that is usual.
    """
    mean = sum(known.values()) / len(known)
    with_level: dict[Level, list[str]] = {}
    for name in known:
        for level in levels[name]:
            with_level.setdefault(level, []).append(name)
    effects = dict.fromkeys(with_level, 0.0)

    def summed(name: str) -> float:
        return mean + sum(effects[level] for level in levels[name])

    weights = dict.fromkeys(known, 1.0)
    for number in range(2 * ROUNDS):
        if number >= ROUNDS:
            errors = {name: abs(known[name] - summed(name)) for name in known}
            usual = max(USUAL_ERRORS * MAD * statistics.median(errors.values()), least_error)
            # One that is far from what the others say counts less (Huber).
            weights = {name: usual / max(error, usual) for name, error in errors.items()}
        for level, names in with_level.items():
            whole = sum(weights[name] for name in names)
            effects[level] += sum(weights[n] * (known[n] - summed(n)) for n in names) / whole
    foretellable = (name for name in levels if all(level in effects for level in levels[name]))
    return {name: us_of(summed(name)) for name in foretellable}


def _with_slack(
    fitted: Mapping[str, float], timed: Mapping[str, float], free: int
) -> ForetoldTimes:
    """The forecasts, and what the times that were taken say that they are worth.

    Only times that were shorter than foretold count: what disturbs a run makes it longer.
    """
    shorter = [max(math.log(fitted[name] / us), 0.0) for name, us in timed.items()]
    spread = math.sqrt(2 * sum(error**2 for error in shorter) / free)
    return ForetoldTimes(fitted, math.exp(max(SIGMAS * spread, *shorter)))
