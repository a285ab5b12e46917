"""The last of each regime, told apart by calls that take turns.

Runs of one program differ by several per cent, so that the times of two runs do not tell who is
faster by less. Where calls of two programs take turns, both meet what made a run slow. The fastest
so far meets each of the other finalists once, and the faster of the two goes on. A difference that
the rule of all comparisons does not call one (docs/explanation/statistics.md) is a tie, and said to
be: the faster by the median ratio is ahead, for someone has to be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...schema.measurement import Decision
from .halving import Course, RaceTime, few_at_once


@dataclass(frozen=True)
class Lead:
    """How many times the first's time the second takes, and its 95 % interval."""

    first: str
    second: str
    ratio: float
    low: float
    high: float
    decision: Decision
    """Of the first beside the second."""

    @property
    def tied(self) -> bool:
        """Whether nothing says that one of them is faster."""
        return self.decision not in (Decision.FASTER, Decision.SLOWER)

    def turned(self) -> Lead:
        """The same, told of the second beside the first."""
        turned = {Decision.FASTER: Decision.SLOWER, Decision.SLOWER: Decision.FASTER}
        decision = turned.get(self.decision, self.decision)
        return Lead(self.second, self.first, 1 / self.ratio, 1 / self.high, 1 / self.low, decision)


@dataclass(frozen=True)
class Paired:
    """What two contestants' calls in turn showed.

    Attributes:
        leads: of the first beside the second, by regime; absent where too few calls were timed.
        times: of both, by contestant and regime.
        failed: the first is out of the race.
    """

    leads: Mapping[str, Lead] = field(default_factory=dict)
    times: Mapping[str, Mapping[str, RaceTime]] = field(default_factory=dict)
    failed: bool = False


MeasurePair = Callable[[str, str, Sequence[str]], Awaitable[Paired]]
"""Takes two contestants and the regimes in which they meet."""


async def order_finalists(course: Course, measure: MeasurePair) -> dict[str, list[Lead]]:
    """Puts the finalists of each regime in order; returns the leads of the first over others.

    Regimes where the same two meet are measured together.
    """
    found: dict[str, list[Lead]] = {regime: [] for regime in course.finalists}
    waiting = {regime: list(names[1:]) for regime, names in course.finalists.items()}
    while True:
        meetings: dict[tuple[str, str], list[str]] = {}
        for regime in waiting:
            # Who failed in any regime is out in all, and whom it met there has met no one else.
            names = [name for name in course.finalists[regime] if name not in course.out]
            course.finalists[regime] = names
            waiting[regime] = left = [name for name in waiting[regime] if name in names[1:]]
            if left:
                meetings.setdefault((names[0], left.pop(0)), []).append(regime)
        if not meetings:
            break
        await few_at_once(
            _meet(course, pair, regimes, measure, found, waiting)
            for pair, regimes in meetings.items()
        )
    return {
        regime: [lead for lead in leads if [lead.first] == course.finalists[regime][:1]]
        for regime, leads in found.items()
    }


async def _meet(
    course: Course,
    pair: tuple[str, str],
    regimes: Sequence[str],
    measure: MeasurePair,
    found: dict[str, list[Lead]],
    waiting: Mapping[str, list[str]],
) -> None:
    first, second = pair
    paired = await measure(first, second, regimes)
    course.measured += 1
    if paired.failed:
        course.out.add(first)
    for name, times in paired.times.items():
        course.times[name] |= times
    for regime in regimes:
        lead = paired.leads.get(regime)
        overtaken = lead is not None and lead.ratio < 1
        if overtaken:
            names = course.finalists[regime]
            course.finalists[regime] = [second, *(name for name in names if name != second)]
        elif first in course.out:  # nothing says how the second does beside who is first then
            waiting[regime].insert(0, second)
        if lead is not None:
            found[regime].append(lead.turned() if overtaken else lead)
