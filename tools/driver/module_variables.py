"""The variables of loaded modules: where they lie, and their bytes, read in few copies.

A module of a library has thousands of them, most of a byte, side by side in one section: what is
copied is the stretch that holds them all, for each copy costs microseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import modules
from .library import Driver, DriverError, copy_to_host

MOST_GAP_BYTES = 64
"""Between two variables of one stretch: no more than alignment puts there."""
OVERLAPPING = -1
"""As the largest gap: variables of one stretch share bytes."""


@dataclass(frozen=True)
class VariablePlace:
    """Where a variable of a module lies in the current context."""

    name: str
    address: int
    nbytes: int

    def holds(self, address: int) -> bool:
        """Whether an address lies in the variable."""
        return self.address <= address < self.address + self.nbytes


@dataclass(frozen=True)
class Stretch:
    """Device memory that holds variables, and what it held when it was read."""

    address: int
    content: bytes

    def holds(self, place: VariablePlace) -> bool:
        """Whether the variable lies in it."""
        return self.address <= place.address < self.address + len(self.content)

    def bytes_of(self, place: VariablePlace) -> bytes:
        """What a variable in it held."""
        begin = place.address - self.address
        return self.content[begin : begin + place.nbytes]

    def with_bytes(self, place: VariablePlace, content: bytes) -> Stretch:
        """The same stretch with other bytes in one of its variables."""
        begin = place.address - self.address
        end = begin + len(content)
        return Stretch(self.address, self.content[:begin] + content + self.content[end:])


def places_of(driver: Driver, module: int, names: Iterable[str]) -> list[VariablePlace]:
    """The variables of a module that the driver knows an address of."""
    found = ((name, modules.global_of(driver, module, name)) for name in names)
    return [VariablePlace(name, *place) for name, place in found if place is not None]


def read_stretches(driver: Driver, places: Iterable[VariablePlace]) -> list[Stretch]:
    """The memory of one module's variables, in ascending order of addresses; waits for the device.

    Of one module, since memory of two cannot be copied at once even where it adjoins. Nor can a
    module's constants and globals where they do: of such a stretch each variable is read alone.

    Raises:
        DriverError: when a variable cannot be read.
    """
    places, found = list(places), list[Stretch]()
    for begin, end in joined(places):
        try:
            found.append(_read(driver, begin, end))
        except DriverError:
            inside = [place for place in places if begin <= place.address < end]
            found += [_read(driver, *each) for each in joined(inside, OVERLAPPING)]
    return found


def _read(driver: Driver, begin: int, end: int) -> Stretch:
    return Stretch(begin, copy_to_host(driver, begin, end - begin))


def contents_of(driver: Driver, places: Sequence[VariablePlace]) -> dict[str, bytes]:
    """What one module's variables hold, by name; waits for the device."""
    stretches = read_stretches(driver, places)
    begins = [stretch.address for stretch in stretches]
    return {
        place.name: stretches[bisect_right(begins, place.address) - 1].bytes_of(place)
        for place in places
    }


def joined(
    places: Iterable[VariablePlace], most_gap: int = MOST_GAP_BYTES
) -> list[tuple[int, int]]:
    """Begin and end of the stretches that hold the variables, with small gaps in them. Pure."""
    found: list[tuple[int, int]] = []
    for place in sorted(places, key=lambda place: (place.address, place.nbytes)):
        end = place.address + place.nbytes
        if found and place.address <= found[-1][1] + most_gap:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((place.address, end))
    return found
