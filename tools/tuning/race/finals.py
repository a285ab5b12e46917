"""The last of each regime, told apart by calls that take turns.

Runs of one program differ by several per cent, so that the times of two runs do not tell who is
faster by less. Where calls of two programs take turns, both meet what made a run slow. The fastest
so far meets each of the other finalists once, and the faster of the two goes on. Two that meet are
compared in every regime in which both may still be the fastest, whoever leads there. A difference
that the rule of all comparisons does not call one (docs/explanation/statistics.md) is a tie, and
said to be: the faster by the median ratio is ahead, for someone has to be.
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
    """Puts the finalists of each regime in order; returns the leads of the first over others."""
    finals = _Finals(course)
    while meetings := finals.next_meetings():
        await few_at_once(_meet(finals, *meeting, measure) for meeting in meetings)
    return {
        regime: [lead for lead in leads if [lead.first] == course.finalists[regime][:1]]
        for regime, leads in finals.leads.items()
    }


async def _meet(
    finals: _Finals, first: str, second: str, regimes: Sequence[str], measure: MeasurePair
) -> None:
    paired = await measure(first, second, regimes)
    finals.take(first, second, regimes, paired)


class _Finals:
    """Who is ahead in each regime, and whom it has yet to meet.

    Attributes:
        leads: by regime, of whoever was ahead when two met.
    """

    def __init__(self, course: Course) -> None:
        self._course = course
        self.leads: dict[str, list[Lead]] = {regime: [] for regime in course.finalists}
        self._waiting = {regime: list(names[1:]) for regime, names in course.finalists.items()}
        self._met: dict[str, set[frozenset[str]]] = {regime: set() for regime in course.finalists}
        self._repeated: set[tuple[str, frozenset[str]]] = set()

    def next_meetings(self) -> list[tuple[str, str, list[str]]]:
        """Two contestants each, and the regimes in which they meet: of each regime the first two.

        Two that meet in one regime meet in all where both may be the fastest.
        """
        course, due = self._course, dict[frozenset[str], tuple[str, str, list[str]]]()
        for regime, waiting in self._waiting.items():
            # Who failed in any regime is out in all, and whom it met there has met no one else.
            names = [name for name in course.finalists[regime] if name not in course.out]
            course.finalists[regime] = names
            self._waiting[regime] = left = [
                name
                for name in waiting
                if name in names[1:] and frozenset((names[0], name)) not in self._met[regime]
            ]
            if left:
                pair = frozenset((names[0], left[0]))
                due.setdefault(pair, (names[0], left[0], []))[2].append(regime)
        for pair, (_, _, regimes) in due.items():
            regimes += [
                regime
                for regime, names in course.finalists.items()
                if regime not in regimes
                and pair <= {*names[:1], *self._waiting[regime]}
                and pair not in self._met[regime]
            ]
        return list(due.values())

    def take(self, first: str, second: str, regimes: Sequence[str], paired: Paired) -> None:
        """Notes what two contestants' calls in turn showed."""
        course, pair = self._course, frozenset((first, second))
        course.measured += 1
        if paired.failed:
            course.out.add(first)
            return
        for name, times in paired.times.items():
            course.times[name] |= times
        for regime in regimes:
            lead = paired.leads.get(regime)
            if lead is not None:
                self._met[regime].add(pair)
                self._place(regime, lead if lead.ratio >= 1 else lead.turned())
            elif (regime, pair) in self._repeated:
                self._met[regime].add(pair)
            self._repeated.add((regime, pair))

    def _place(self, regime: str, lead: Lead) -> None:
        """Puts who is ahead before the other; who is behind meets nobody more.

        Behind one that is not the first it is only where it is slower for certain.
        """
        self.leads[regime].append(lead)
        names, waiting = self._course.finalists[regime], self._waiting[regime]
        gone = lead.second
        if lead.second == names[0]:
            others = [name for name in names if name != lead.first]
            self._course.finalists[regime] = [lead.first, *others]
            gone = lead.first
        elif lead.first != names[0] and lead.tied:
            return
        if gone in waiting:
            waiting.remove(gone)
