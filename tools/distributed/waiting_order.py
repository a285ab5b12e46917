"""Who is the next for a device: the uses of one client take turns with those of others. Pure.

A client that asks for a hundred evaluations and one that asks for a single one: the single one is
second, not last. So each client is in the line with one use at a time, the next when that began.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """A use that waits for a device.

    Attributes:
        arrived: rises with each that came; equal only for what is the same.
        devices: any of them will do.
    """

    client: str
    devices: tuple[str, ...]
    arrived: int
    what: str = ""


def in_line(waiting: Sequence[Waiting]) -> list[Waiting]:
    """The first of each client and choice of devices, the only ones that may take a device."""
    first: dict[tuple[str, tuple[str, ...]], Waiting] = {}
    for one in sorted(waiting, key=lambda w: w.arrived):
        first.setdefault((one.client, one.devices), one)
    return list(first.values())


def offered(devices: Sequence[str], earlier: Sequence[Collection[str]]) -> list[str]:
    """Those devices that nobody earlier would take, in their order."""
    taken = set[str]().union(*earlier)
    return [device for device in devices if device not in taken]


def earlier_than(one: Waiting, waiting: Sequence[Waiting]) -> list[Waiting]:
    """What will have a device before `one`, the first first, as far as it is known now.

    Clients take turns: what a client asked for as its third is behind the first three of others.
    """
    round_of: dict[int, int] = {}
    asked: dict[tuple[str, tuple[str, ...]], int] = {}
    for each in sorted(waiting, key=lambda w: w.arrived):
        key = (each.client, each.devices)
        round_of[each.arrived] = asked.get(key, 0)
        asked[key] = round_of[each.arrived] + 1

    def order(each: Waiting) -> tuple[int, int]:
        return round_of[each.arrived], each.arrived

    mine = set(one.devices)
    before = [w for w in waiting if order(w) < order(one) and mine & set(w.devices)]
    return sorted(before, key=order)


def expected_wait_s(
    earlier: int, devices: int, usual_s: float, busy_s: Sequence[float] = ()
) -> float:
    """Seconds until a use gets a device, when `earlier` others get theirs before it.

    Args:
        usual_s: for which a use holds a device.
        busy_s: for how long each device that is held has been held.
    """
    ends = sorted(max(usual_s - held, 0.0) for held in busy_s)
    ends = [0.0] * (devices - len(ends)) + ends
    for _ in range(earlier):
        ends = sorted([ends[0] + usual_s, *ends[1:]])
    return ends[0]
