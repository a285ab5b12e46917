"""A search as its events tell it: rounds, what it used, the best, when it is to stop. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import RequestError
from ...text import counted
from .events import (
    LessonsSummarised,
    RoundBegan,
    RoundEnded,
    SearchBegan,
    SearchEnded,
    SearchEvent,
    SearchResumed,
    StartJudged,
    StepEnded,
)
from .options import SearchOptions
from .spending import Spending


@dataclass
class RoundState:
    """A round and what is known of it."""

    began: RoundBegan
    steps: list[StepEnded] = field(default_factory=list)
    ended: RoundEnded | None = None


@dataclass
class SearchState:
    """A search and what is known of it.

    Attributes:
        active_seconds: for which its process ran; a pause between two runs does not count.
    """

    began: SearchBegan
    options: SearchOptions
    start: StartJudged | None = None
    rounds: dict[int, RoundState] = field(default_factory=dict)
    lessons: list[str] = field(default_factory=list)
    summarised: int = 0
    summaries: Spending = Spending()
    ended: SearchEnded | None = None
    active_seconds: float = 0.0
    last_at: float = 0.0

    @property
    def finished(self) -> list[RoundEnded]:
        """The rounds that ended, by number."""
        return [r.ended for _, r in sorted(self.rounds.items()) if r.ended is not None]

    @property
    def under_way(self) -> list[RoundState]:
        """The rounds that have not ended."""
        return [r for _, r in sorted(self.rounds.items()) if r.ended is None]

    @property
    def spent(self) -> Spending:
        """What all rounds used that ended, and the start."""
        total = self.start.spent if self.start else Spending()
        for ended in self.finished:
            total = total.plus(ended.spent)
        return total.plus(self.summaries)

    @property
    def cost_usd(self) -> float | None:
        """US dollars that agents told of, those of rounds under way, too; None where none did."""
        under_way = [step.usage.cost_usd for r in self.under_way for step in r.steps]
        costs = [c for c in (self.spent.usage.cost_usd, *under_way) if c is not None]
        return sum(costs) if costs else None

    @property
    def evaluation_s(self) -> float | None:
        """For how long an evaluation of the rounds had the device on average."""
        count = sum(ended.spent.count for ended in self.finished)
        seconds = sum(ended.spent.device_seconds for ended in self.finished)
        return seconds / count if count else None

    @property
    def best(self) -> RoundEnded | None:
        """The round after which the best candidate was the fastest, the first such."""
        timed = [ended for ended in self.finished if ended.best_us is not None]
        return min(timed, key=lambda ended: (ended.best_us or 0.0, ended.at), default=None)

    def apply(self, event: SearchEvent) -> None:
        """Takes one more step in."""
        if not isinstance(event, SearchResumed) and self.ended is None:
            self.active_seconds += max(0.0, event.at - self.last_at)
        self.last_at = event.at
        match event:
            case RoundBegan():
                self.rounds[event.number] = RoundState(event)
            case StepEnded():
                self.rounds[event.number].steps.append(event)
            case RoundEnded():
                self.rounds[event.number].ended = event
            case StartJudged():
                self.start = event
            case LessonsSummarised():
                self.lessons, self.summarised = list(event.lessons), event.number
                self.summaries = self.summaries.plus(Spending(usage=event.usage))
            case SearchResumed():
                self.options, self.ended = event.options, None
            case SearchEnded():
                self.ended = event
            case SearchBegan():
                pass

    def reason_to_stop(self, now: float) -> str:
        """Why no further round may begin; empty while one may."""
        options, spent, best = self.options, self.spent, self.best
        if options.rounds is not None and len(self.rounds) >= options.rounds:
            return f"the limit of {counted(options.rounds, 'round')} is reached"
        if options.hours is not None and self.seconds_at(now) >= 3600 * options.hours:
            return f"the limit of {options.hours:g} h is reached"
        if options.device_seconds is not None and spent.device_seconds >= options.device_seconds:
            used, limit = spent.device_seconds, options.device_seconds
            return f"{used:.0f} of {limit:.0f} s of the device are used"
        cost = self.cost_usd or 0.0
        if options.cost_usd is not None and cost >= options.cost_usd:
            return f"${cost:.2f} of ${options.cost_usd:.2f} are spent"
        if options.goal is not None and best is not None:
            if options.goal.reached(best.best_speedup, best.best_floor_percent):
                return f"{options.goal} was reached by {best.best}"
        return ""

    def seconds_at(self, now: float) -> float:
        """For how long the search has run."""
        return self.active_seconds + max(0.0, now - self.last_at)


def state_of(events: Sequence[SearchEvent]) -> SearchState:
    """The state after some events.

    Raises:
        RequestError: when the first is no beginning.
    """
    if not events or not isinstance(began := events[0], SearchBegan):
        raise RequestError("The search has no beginning", remedy="Begin another one.")
    state = SearchState(began, began.options, last_at=began.at)
    for event in events[1:]:
        state.apply(event)
    return state
