"""Virtual memory of a device: reservations at fixed addresses, allocations that cross processes.

An allocation leaves its process as a POSIX file descriptor; every process maps it where it likes,
here at the same address, so that pointers inside parameters and memory hold on both sides.
"""

from __future__ import annotations

from ctypes import byref, c_int, c_size_t, c_uint64, c_ulonglong, c_void_p

from ..errors import CapabilityError
from .library import Driver
from .structures import MemAccessDesc, MemAllocationProp

POSIX_DESCRIPTOR = 1
PINNED = 1
ON_DEVICE = 1
READ_WRITE = 3
MINIMUM_GRANULARITY = 0


def _properties(device_index: int) -> MemAllocationProp:
    properties = MemAllocationProp(type=PINNED, handle_types=POSIX_DESCRIPTOR)
    properties.location.type, properties.location.id = ON_DEVICE, device_index
    return properties


def granularity(driver: Driver, device_index: int) -> int:
    """The bytes that sizes and addresses of mappings are multiples of."""
    size = c_size_t()
    properties = _properties(device_index)
    driver.call(
        "cuMemGetAllocationGranularity", byref(size), byref(properties), c_int(MINIMUM_GRANULARITY)
    )
    return size.value


def reserve(driver: Driver, nbytes: int, address: int = 0) -> int:
    """Reserves addresses; 0 leaves the choice to the driver.

    Raises:
        CapabilityError: when the driver gives other addresses than were asked for.
    """
    given = c_uint64()
    driver.call(
        "cuMemAddressReserve",
        byref(given),
        c_size_t(nbytes),
        c_size_t(0),
        c_uint64(address),
        c_ulonglong(0),
    )
    if address and given.value != address:
        driver.call("cuMemAddressFree", given, c_size_t(nbytes))
        raise CapabilityError(
            f"The driver reserves {given.value:#x} where {address:#x} was asked for",
            remedy="Times stay claimed on this machine.",
        )
    return given.value


def create(driver: Driver, nbytes: int, device_index: int) -> int:
    """Allocates device memory that is mapped nowhere; returns its handle."""
    handle = c_ulonglong()
    properties = _properties(device_index)
    driver.call("cuMemCreate", byref(handle), c_size_t(nbytes), byref(properties), c_ulonglong(0))
    return handle.value


def map_at(driver: Driver, address: int, nbytes: int, handle: int, device_index: int) -> None:
    """Maps an allocation at reserved addresses, readable and writable."""
    driver.call(
        "cuMemMap",
        c_uint64(address),
        c_size_t(nbytes),
        c_size_t(0),
        c_ulonglong(handle),
        c_ulonglong(0),
    )
    access = MemAccessDesc(flags=READ_WRITE)
    access.location.type, access.location.id = ON_DEVICE, device_index
    driver.call("cuMemSetAccess", c_uint64(address), c_size_t(nbytes), byref(access), c_size_t(1))


def imported(driver: Driver, fd: int) -> int:
    """The handle of an allocation that arrived as a descriptor, which stays open."""
    handle = c_ulonglong()
    driver.call(
        "cuMemImportFromShareableHandle", byref(handle), c_void_p(fd), c_int(POSIX_DESCRIPTOR)
    )
    return handle.value


def unmap(driver: Driver, address: int, nbytes: int) -> None:
    """Takes a mapping away; the reservation stays."""
    driver.call("cuMemUnmap", c_uint64(address), c_size_t(nbytes))


def release(driver: Driver, handle: int) -> None:
    """Gives an allocation back once it is mapped nowhere."""
    driver.call("cuMemRelease", c_ulonglong(handle))
