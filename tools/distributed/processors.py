"""Which processors each device's judge has to itself, so that none disturbs another's clock.

Two judges on the same processors wait for each other while both build, fork and time. Threads of
one core stay together. Where the shares would be too small, all judges have all processors.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

LEAST_SHARE = 4
"""Processors that a judge, its candidates and its compilers need at least."""
SYSTEM = Path("/sys/devices/system/cpu")


def processors_of(
    number: int, devices: int, allowed: Collection[int] | None = None, system: Path = SYSTEM
) -> list[int]:
    """The processors of the device with this number; empty where it shares all of them.

    Args:
        devices: of this machine.
        allowed: that this process may use.
    """
    mine = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    cores = list(dict.fromkeys(_core(system, one, mine) for one in mine))
    if devices < 2 or number >= devices or len(mine) // devices < LEAST_SHARE:
        return []
    begin, end = (len(cores) * n // devices for n in (number, number + 1))
    return sorted(one for core in cores[begin:end] for one in core)


def _core(system: Path, processor: int, allowed: Collection[int]) -> tuple[int, ...]:
    """The processors that are threads of one core, of those allowed; itself where unknown."""
    try:
        text = (system / f"cpu{processor}/topology/thread_siblings_list").read_text("ascii")
    except OSError:
        return (processor,)
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found & set(allowed))) or (processor,)
