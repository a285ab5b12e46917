"""How far a search was after so many rounds, seconds of the device, seconds, or dollars. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..records.events import RoundEnded
from ..records.state import SearchState


class CourseAxis(StrEnum):
    """What a search's progress is drawn against."""

    ROUNDS = "rounds"
    DEVICE = "device s"
    WALL = "wall s"
    COST = "US dollars"


@dataclass(frozen=True)
class CoursePoint:
    """A search after one of its rounds.

    Attributes:
        speedup: of the best so far over the start; None while nothing was timed.
    """

    rounds: int
    device_seconds: float
    wall_seconds: float
    cost_usd: float | None
    speedup: float | None

    def at(self, axis: CourseAxis) -> float | None:
        """Where the point lies on an axis."""
        return {
            CourseAxis.ROUNDS: float(self.rounds),
            CourseAxis.DEVICE: self.device_seconds,
            CourseAxis.WALL: self.wall_seconds,
            CourseAxis.COST: self.cost_usd,
        }[axis]


def course_of(state: SearchState) -> list[CoursePoint]:
    """The points of a search, in the order in which its rounds ended."""
    start = state.start
    device = start.spent.device_seconds if start else 0.0
    began = start.at if start else state.began.at
    best = 1.0 if start and start.start_us else None
    cost: float | None = None
    points = [CoursePoint(0, device, 0.0, None, best)]
    for rounds, ended in enumerate(sorted(state.finished, key=lambda e: e.at), start=1):
        device += ended.spent.device_seconds
        said = ended.spent.usage.cost_usd
        cost = cost if said is None else (cost or 0.0) + said
        best = _best(best, ended)
        points.append(CoursePoint(rounds, device, max(0.0, ended.at - began), cost, best))
    return points


def _best(before: float | None, ended: RoundEnded) -> float | None:
    found = [value for value in (before, ended.best_speedup) if value is not None]
    return max(found, default=None)


def speedup_at(points: Sequence[CoursePoint], axis: CourseAxis, value: float) -> float | None:
    """The best so far where a search had used so much; None while nothing was timed."""
    found: float | None = None
    for point in points:
        place = point.at(axis)
        if place is not None and place > value:
            break
        found = point.speedup
    return found
