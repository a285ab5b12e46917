"""Activity records turned into one span for each replay. Pure.

The runner puts a copy of its own before and after each replay. In the order of API calls, what lies
between the two belongs to the replay, whatever stream it ran on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..driver.cupti import DeviceActivity
from ..messages.runner import ReplayTimes

MOST_ACTIVITIES = 4_000
LEAST_MARKER_BYTES = 48
MARKER_STEP = 16


def marker_bytes(taken: Collection[int]) -> int:
    """A size that no other copy around a replay has, so that the runner's own are told by it."""
    size = LEAST_MARKER_BYTES
    while size in taken:
        size += MARKER_STEP
    return size


def times_of(
    activities: Sequence[DeviceActivity],
    marker: int,
    events_ns: Sequence[int | None],
    enqueue_ns: Sequence[int],
) -> list[ReplayTimes]:
    """What the clocks saw of each replay.

    The span of a replay runs from its first activity's start to its last one's end, over all
    streams; it is None where nothing was recorded, and everywhere when copies of `marker` bytes
    are not two for each replay.
    """
    found = _between(activities, marker, len(enqueue_ns))
    return [
        _times(of, events, enqueued)
        for of, events, enqueued in zip(found, events_ns, enqueue_ns, strict=True)
    ]


def _between(
    activities: Sequence[DeviceActivity], marker: int, count: int
) -> list[list[DeviceActivity]]:
    ordered = sorted(activities, key=lambda activity: activity.correlation)
    places = [place for place, a in enumerate(ordered) if a.kind == "memcpy" and a.nbytes == marker]
    if len(places) != 2 * count:
        return [[] for _ in range(count)]
    return [ordered[begin + 1 : end] for begin, end in zip(places[::2], places[1::2], strict=True)]


def _times(found: list[DeviceActivity], events_ns: int | None, enqueue_ns: int) -> ReplayTimes:
    span = max(a.end for a in found) - min(a.start for a in found) if found else None
    return ReplayTimes(
        span_ns=span,
        events_ns=events_ns,
        enqueue_ns=enqueue_ns,
        activities=[(a.start, a.end) for a in found[:MOST_ACTIVITIES]],
    )
