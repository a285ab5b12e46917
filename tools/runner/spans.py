"""Activity records turned into one span for each replay. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..driver.cupti import DeviceActivity
from ..messages.runner import ReplayTimes

MOST_ACTIVITIES = 4_000


def times_of(
    activities: Sequence[DeviceActivity],
    events_ns: Sequence[int | None],
    enqueue_ns: Sequence[int],
) -> list[ReplayTimes]:
    """What the clocks saw of replays that were marked 1, 2, …, in order.

    The span of a replay runs from its first activity's start to its last one's end, over all
    streams; it is None where nothing was recorded.
    """
    of: dict[int, list[DeviceActivity]] = {}
    for activity in activities:
        if activity.mark is not None:
            of.setdefault(activity.mark, []).append(activity)
    return [
        _times(of.get(number + 1, []), events, enqueued)
        for number, (events, enqueued) in enumerate(zip(events_ns, enqueue_ns, strict=True))
    ]


def _times(found: list[DeviceActivity], events_ns: int | None, enqueue_ns: int) -> ReplayTimes:
    span = max(a.end for a in found) - min(a.start for a in found) if found else None
    ordered = sorted(found, key=lambda activity: activity.correlation)
    return ReplayTimes(
        span_ns=span,
        events_ns=events_ns,
        enqueue_ns=enqueue_ns,
        activities=[(a.start, a.end) for a in ordered[:MOST_ACTIVITIES]],
    )
