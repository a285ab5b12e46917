"""Assigns streams and waits to the nodes of a plan, so that its edges hold and no more. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..messages.launch_plan import Edge


@dataclass(frozen=True)
class Placed:
    """Where a node is launched.

    Args:
        stream: number of its stream; 0 is the one that the replay begins on.
        waits: nodes of other streams whose events it waits for.
        recorded: whether a later node waits for it by an event.
        programmatic: whether it is launched before its predecessor on the stream has ended.
    """

    stream: int
    waits: tuple[int, ...]
    recorded: bool
    programmatic: bool


def place(count: int, edges: Sequence[Edge]) -> list[Placed]:
    """Gives every node a stream: that of a predecessor whose last node it follows, else a new one.

    A programmatic edge joins neighbours of one stream; where that cannot be, or where another edge
    demands the end of the same predecessor, it waits for the end.
    """
    before: list[dict[int, bool]] = [{} for _ in range(count)]
    for edge in edges:
        before[edge.after][edge.before] = edge.programmatic
    stream: list[int] = []
    last: dict[int, int] = {}
    followed: list[int | None] = []
    for number in range(count):
        chosen = _followed(before[number], stream, last)
        mine = stream[chosen] if chosen is not None else len(last)
        stream.append(mine)
        followed.append(chosen)
        last[mine] = number
    waits = [_waits(before[n], stream, stream[n]) for n in range(count)]
    recorded = {earlier for found in waits for earlier in found}
    return [
        Placed(stream[n], waits[n], n in recorded, _programmatic(before[n], followed[n]))
        for n in range(count)
    ]


def ends(placed: Sequence[Placed]) -> dict[int, int]:
    """The last node of each stream other than the first, which the first waits for at the end."""
    return {p.stream: number for number, p in enumerate(placed) if p.stream}


def _followed(before: dict[int, bool], stream: list[int], last: dict[int, int]) -> int | None:
    """The predecessor to follow on its stream; a programmatic one is preferred."""
    free = [earlier for earlier in before if last[stream[earlier]] == earlier]
    return max(free, key=lambda earlier: (before[earlier], earlier), default=None)


def _waits(before: dict[int, bool], stream: list[int], mine: int) -> tuple[int, ...]:
    """The latest predecessor on each other stream."""
    latest: dict[int, int] = {}
    for earlier in before:
        if stream[earlier] != mine:
            latest[stream[earlier]] = max(latest.get(stream[earlier], -1), earlier)
    return tuple(sorted(latest.values()))


def _programmatic(before: dict[int, bool], followed: int | None) -> bool:
    return followed is not None and before[followed] and len(before) == 1
