"""The runner's device memory: one reservation, what the judge shares, and the plan's scratch."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..driver import virtual_memory
from ..driver.library import Driver
from ..messages.launch_plan import (
    ARENA_BASE,
    COPIES_BASE,
    RESERVATION_BASE,
    RESERVATION_BYTES,
    MemoryRegion,
)
from ..messages.runner import ReplayCall

Range = tuple[int, int]
LITTLE_BYTES = 1 << 20
"""Between two places that are looked at as one."""


class RunnerMemory:
    """The reservation of this process, and what is mapped in it."""

    def __init__(self, driver: Driver, device_index: int) -> None:
        self._driver, self._device = driver, device_index
        self._granule = virtual_memory.granularity(driver, device_index)
        virtual_memory.reserve(driver, RESERVATION_BYTES, RESERVATION_BASE)
        self._mapped: list[Range] = []
        self._scratch: list[tuple[Range, int]] = []
        self._copies: list[tuple[Range, int]] = []
        self._arena: list[tuple[Range, int]] = []

    def map(self, fd: int, nbytes: int, address: int) -> int:
        """Maps an allocation of the judge's, and closes its descriptor; returns where.

        Raises:
            ValueError: when the address is not in the part for shared memory.
        """
        try:
            if address and not ARENA_BASE <= address < RESERVATION_BASE + RESERVATION_BYTES:
                raise ValueError(f"{address:#x} is not in the part for shared memory")
            handle = virtual_memory.imported(self._driver, fd)
        finally:
            os.close(fd)
        where = address or virtual_memory.reserve(self._driver, nbytes)
        virtual_memory.map_at(self._driver, where, nbytes, handle, self._device)
        self._mapped.append((where, where + nbytes))
        return where

    def holds(self, address: int, nbytes: int) -> bool:
        """Whether all the bytes are mapped."""
        return any(a <= address and address + nbytes <= b for a, b in self._mapped)

    def joined(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Address and bytes of stretches of mapped memory that hold all the places, few of them.

        Those with little between them are one: a launch for each took longer than its work.
        """
        found: list[tuple[int, int]] = []
        for address, nbytes in sorted(places):
            begin, before = found[-1] if found else (address, 0)
            whole = max(before, address + nbytes - begin)
            near = found and address - (begin + before) <= LITTLE_BYTES
            if near and self.holds(begin, whole):
                found[-1] = begin, whole
            else:
                found.append((address, nbytes))
        return found

    def check(self, calls: Sequence[ReplayCall]) -> None:
        """Refuses calls that would read or write what is not mapped.

        Raises:
            ValueError: naming the first such place.
        """
        for call in calls:
            moves = [*call.before, *call.after]
            places = [(m.source, m.nbytes) for m in moves]
            places += [(m.destination, m.nbytes) for m in moves]
            for address, nbytes in [*places, *((p.address, p.nbytes) for p in call.poison)]:
                if not self.holds(address, nbytes):
                    raise ValueError(f"{nbytes} bytes at {address:#x} are not mapped")

    def map_arena(self, nbytes: int) -> None:
        """Maps memory of this process's own where the judge's would lie, for a replay alone."""
        end = ARENA_BASE + -(-nbytes // self._granule) * self._granule
        self._map_own(ARENA_BASE, end, self._arena)

    def map_copies(self, nbytes: int) -> None:
        """Maps memory of this process's own at `COPIES_BASE`, in place of what was there.

        Raises:
            ValueError: when the judge's memory reaches there, or the reservation ends before.
        """
        self._unmap(self._copies)
        end = COPIES_BASE + -(-nbytes // self._granule) * self._granule
        if end > RESERVATION_BASE + RESERVATION_BYTES:
            raise ValueError(f"{nbytes} bytes of copies do not fit into the reservation")
        if any(a < end and COPIES_BASE < b for a, b in self._mapped):
            raise ValueError("The place of the copies is taken")
        self._map_own(COPIES_BASE, end, self._copies)

    def map_scratch(self, regions: Sequence[MemoryRegion]) -> list[Range]:
        """Maps memory of this process's own under the regions; returns what was mapped.

        The memory of the plan before is given back, or is this one's if it lies there: at most one
        plan is loaded, and all of it is poisoned before each replay.
        """
        self._unmap(self._copies)
        ranges = covered(regions, self._granule)
        if ranges != [mapped for mapped, _ in self._scratch]:
            self._unmap(self._scratch)
            for begin, end in ranges:
                self._map_own(begin, end, self._scratch)
        return ranges

    def _map_own(self, begin: int, end: int, kept: list[tuple[Range, int]]) -> None:
        handle = virtual_memory.create(self._driver, end - begin, self._device)
        virtual_memory.map_at(self._driver, begin, end - begin, handle, self._device)
        kept.append(((begin, end), handle))
        self._mapped.append((begin, end))

    def _unmap(self, kept: list[tuple[Range, int]]) -> None:
        for (begin, end), handle in kept:
            virtual_memory.unmap(self._driver, begin, end - begin)
            virtual_memory.release(self._driver, handle)
            self._mapped.remove((begin, end))
        kept.clear()


def covered(regions: Sequence[MemoryRegion], granule: int) -> list[Range]:
    """The ranges of whole granules that hold the regions, joined where they touch."""
    joined: list[Range] = []
    for region in sorted(regions, key=lambda region: region.address):
        begin = region.address // granule * granule
        end = -(-(region.address + region.nbytes) // granule) * granule
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined
