"""Several groups of searches: rates, speedups with intervals over repeats, costs. Pure.

A group holds repeats of one configuration, on one operator or on several. The figures are those of
STARK (share of searches that end in a right program, mean speedup) and of KernelBench (fast_p, the
share that is right and at least p times as fast), beside what each cost.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ..records.options import SearchOptions
from ..records.spending import Spending
from ..records.state import SearchState
from .course import CourseAxis, CoursePoint, course_of, speedup_at

FAST = (1.0, 1.2, 1.5, 2.0)
"""The p of fast_p: above 1, at least the others."""
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of what the group's shortest search used, where its courses are read."""
DRAWS = 2_000
FEWEST = 3
"""With fewer repeats the interval is the least and the greatest."""


@dataclass(frozen=True)
class MeanInterval:
    """A geometric mean over repeats, with its 95 % interval."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class ReadPoint:
    """The group's best so far where each of its searches had used so much."""

    axis: CourseAxis
    at: float
    speedup: MeanInterval


@dataclass(frozen=True)
class GroupFigures:
    """What one group of searches did.

    Attributes:
        right: share of searches that ended with a right program of their own.
        valid: share of the evaluations that were right, of those that decided something.
        kept: share of rounds that ended with a candidate.
        fast: by p, the share of searches whose best is so many times as fast as the start.
        per_search: what a search used on average, in the units of `Spending`.
    """

    name: str
    searches: int
    definitions: tuple[str, ...]
    rounds: int
    right: float
    valid: float | None
    kept: float | None
    fast: Mapping[float, float]
    speedup: MeanInterval | None
    spent: Spending
    points: Sequence[ReadPoint] = field(default_factory=tuple)


class Trait(StrEnum):
    """What searches may differ in."""

    AGENT = "agent"
    """The whole command, with its model."""
    POLICY = "policy"
    ROLES = "roles"
    START = "start"
    OPERATOR = "operator"


CONFIGURATION = (Trait.AGENT, Trait.POLICY, Trait.ROLES, Trait.START)


def configuration(state: SearchState, by: Sequence[Trait] = CONFIGURATION) -> str:
    """What the repeats of one configuration have in common, in a line."""
    options = state.options
    start = f"from {options.start}"
    if by == CONFIGURATION and options.start == SearchOptions.model_fields["start"].default:
        start = ""
    words = {
        Trait.AGENT: options.agent,
        Trait.POLICY: options.policy,
        Trait.ROLES: ",".join(options.roles),
        Trait.START: start,
        Trait.OPERATOR: options.definition,
    }
    return " ".join(filter(None, (words[trait] for trait in by)))


def grouped(
    states: Iterable[SearchState], by: Sequence[Trait] = CONFIGURATION
) -> dict[str, list[SearchState]]:
    """Searches by what they have in common, in the order in which they are named."""
    groups: dict[str, list[SearchState]] = {}
    for state in states:
        groups.setdefault(configuration(state, by), []).append(state)
    return groups


def figures_of(name: str, states: Sequence[SearchState]) -> GroupFigures:
    """The figures of a group, which is not empty."""
    spent = Spending()
    for state in states:
        spent = spent.plus(state.spent)
    best = [_best(state) for state in states]
    timed = [speedup for speedup in best if speedup is not None]
    decided = spent.passed + spent.failed
    rounds = [ended for state in states for ended in state.finished]
    return GroupFigures(
        name=name,
        searches=len(states),
        definitions=tuple(dict.fromkeys(state.options.definition for state in states)),
        rounds=len(rounds),
        right=sum(map(_right, states)) / len(states),
        valid=spent.passed / decided if decided else None,
        kept=sum(bool(e.candidates) for e in rounds) / len(rounds) if rounds else None,
        fast={p: sum(_fast(s, p) for s in best) / len(states) for p in FAST},
        speedup=mean_interval(timed),
        spent=spent,
        points=tuple(read_points(states)),
    )


def read_points(states: Sequence[SearchState]) -> list[ReadPoint]:
    """The group's courses, read where its shortest search had used a quarter, a half and so on."""
    courses = [course_of(state) for state in states]
    found = []
    for axis in CourseAxis:
        ends = [_end(course, axis) for course in courses]
        known = [end for end in ends if end]
        if len(known) < len(courses):
            continue
        for share in SHARES:
            place = share * min(known)
            values = [speedup_at(course, axis, place) for course in courses]
            mean = mean_interval([value for value in values if value is not None])
            if mean is not None:
                found.append(ReadPoint(axis, place, mean))
    return found


def mean_interval(values: Sequence[float]) -> MeanInterval | None:
    """The geometric mean with its bootstrap interval; the same values give the same."""
    logs = [math.log(value) for value in values if value > 0]
    if not logs:
        return None
    mean = math.exp(sum(logs) / len(logs))
    if len(logs) < FEWEST:
        return MeanInterval(mean, math.exp(min(logs)), math.exp(max(logs)), len(logs))
    rng = random.Random(0)
    drawn = sorted(sum(rng.choices(logs, k=len(logs))) / len(logs) for _ in range(DRAWS))
    low, high = drawn[int(0.025 * DRAWS)], drawn[int(0.975 * DRAWS)]
    return MeanInterval(mean, math.exp(low), math.exp(high), len(logs))


def _end(course: Sequence[CoursePoint], axis: CourseAxis) -> float | None:
    return course[-1].at(axis)


def _best(state: SearchState) -> float | None:
    return course_of(state)[-1].speedup


def _right(state: SearchState) -> bool:
    """Whether an agent of the search wrote anything that is right."""
    return any(
        outcome not in ("failed", "undecided") for e in state.finished for outcome in e.outcomes
    )


def _fast(speedup: float | None, p: float) -> bool:
    return speedup is not None and (speedup > p if p == 1.0 else speedup >= p)
