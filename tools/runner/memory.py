"""The runner's device memory: one reservation, what the judge shares, and the plan's scratch."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..driver import virtual_memory
from ..driver.library import Driver
from ..messages.launch_plan import (
    ARENA_BASE,
    RESERVATION_BASE,
    RESERVATION_BYTES,
    MemoryRegion,
)

Range = tuple[int, int]


class RunnerMemory:
    """The reservation of this process, and what is mapped in it."""

    def __init__(self, driver: Driver, device_index: int) -> None:
        self._driver, self._device = driver, device_index
        self._granule = virtual_memory.granularity(driver, device_index)
        virtual_memory.reserve(driver, RESERVATION_BYTES, RESERVATION_BASE)
        self._mapped: list[Range] = []
        self._scratch: list[tuple[Range, int]] = []

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

    def map_scratch(self, regions: Sequence[MemoryRegion]) -> list[Range]:
        """Maps memory of this process's own under the regions; returns what was mapped.

        The memory of the plan before is given back: at most one plan is loaded.
        """
        self._unmap_scratch()
        ranges = covered(regions, self._granule)
        for begin, end in ranges:
            handle = virtual_memory.create(self._driver, end - begin, self._device)
            virtual_memory.map_at(self._driver, begin, end - begin, handle, self._device)
            self._scratch.append(((begin, end), handle))
        self._mapped += ranges
        return ranges

    def _unmap_scratch(self) -> None:
        for (begin, end), handle in self._scratch:
            virtual_memory.unmap(self._driver, begin, end - begin)
            virtual_memory.release(self._driver, handle)
            self._mapped.remove((begin, end))
        self._scratch = []


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
