"""libcuda: loading it, its errors, contexts, streams, events, copies and fills."""

from __future__ import annotations

import ctypes
from ctypes import (
    Array,
    byref,
    c_char,
    c_float,
    c_int,
    c_size_t,
    c_ubyte,
    c_uint,
    c_uint64,
    c_void_p,
)
from typing import Any, Protocol

from ..errors import CapabilityError, InfrastructureError

MULTIPROCESSORS = 16
L2_BYTES = 38
MOST_SHARED_BYTES = 97
"""Of CUdevice_attribute; the last one is the most that a block may ask for."""
STACK_BYTES = 0
"""Of CUlimit."""
INVALID_VALUE = 1
NOT_FOUND = 500
POINTER_MEMORY_TYPE, POINTER_IS_MANAGED, POINTER_RANGE_START, POINTER_RANGE_BYTES = 2, 8, 11, 12
"""Of CUpointer_attribute."""
MEMORY_TYPES = {1: "host", 2: "device", 3: "array", 4: "unified"}
WAIT_AT_LEAST = 0
HOST_MAPPED = 3
"""CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP."""


class DriverError(InfrastructureError):
    """Raised when a driver call fails; `code` is its CUresult."""

    def __init__(self, function: str, code: int, words: str = "") -> None:
        self.function, self.code = function, code
        super().__init__(f"{function} failed with CUDA error {code}{words and ' ' + words}")


class Driver(Protocol):
    """What calls a function of libcuda by its exported name."""

    def call(self, function: str, *arguments: Any) -> None:
        """Calls it.

        Raises:
            DriverError: when it does not return CUDA_SUCCESS.
        """
        ...


class CudaDriver:
    """libcuda of this machine.

    Raises:
        CapabilityError: when there is none.
    """

    def __init__(self, name: str = "libcuda.so.1") -> None:
        try:
            self._library = ctypes.CDLL(name)
        except OSError as error:
            raise CapabilityError(
                f"The CUDA driver's library {name} cannot be loaded: {error}",
                remedy="Install an NVIDIA driver.",
            ) from error
        self._functions: dict[str, Any] = {}

    def call(self, function: str, *arguments: Any) -> None:
        """Calls a function of the library."""
        found = self._functions.get(function)
        if found is None:
            try:
                found = self._functions[function] = getattr(self._library, function)
            except AttributeError as error:
                raise CapabilityError(
                    f"The CUDA driver has no function {function}", remedy="Update the driver."
                ) from error
        code = found(*arguments)
        if code:
            raise DriverError(function, code, self._name_of(code))

    def _name_of(self, code: int) -> str:
        name = ctypes.c_char_p()
        self._library.cuGetErrorName(code, byref(name))
        return (name.value or b"").decode("ascii", "replace")


def start(driver: Driver, device_index: int) -> int:
    """Initialises CUDA, makes the primary context of a device current; returns the device."""
    device, context = c_int(), c_void_p()
    driver.call("cuInit", c_uint(0))
    driver.call("cuDeviceGet", byref(device), c_int(device_index))
    driver.call("cuDevicePrimaryCtxRetain", byref(context), device)
    driver.call("cuCtxSetCurrent", context)
    return device.value


def device_attribute(driver: Driver, device: int, number: int) -> int:
    """One of CUdevice_attribute."""
    value = c_int()
    driver.call("cuDeviceGetAttribute", byref(value), c_int(number), c_int(device))
    return value.value


def l2_bytes(driver: Driver, device: int) -> int:
    """The size of the device's L2."""
    return device_attribute(driver, device, L2_BYTES)


def stack_bytes(driver: Driver) -> int:
    """The local memory that a thread of the current context has for calls."""
    value = c_size_t()
    driver.call("cuCtxGetLimit", byref(value), c_int(STACK_BYTES))
    return value.value


def synchronize(driver: Driver) -> None:
    """Waits for all work of the current context."""
    driver.call("cuCtxSynchronize")


def new_stream(driver: Driver) -> int:
    """A stream that does not synchronise with the default stream."""
    stream = c_void_p()
    driver.call("cuStreamCreate", byref(stream), c_uint(1))
    return stream.value or 0


def new_event(driver: Driver, *, timed: bool) -> int:
    """An event; one without timing is cheaper."""
    event = c_void_p()
    driver.call("cuEventCreate", byref(event), c_uint(0 if timed else 2))
    return event.value or 0


def record_event(driver: Driver, event: int, stream: int) -> None:
    """Records the event after what the stream holds."""
    driver.call("cuEventRecord", c_void_p(event), c_void_p(stream))


def wait_event(driver: Driver, stream: int, event: int) -> None:
    """Lets the stream's later work wait for the event."""
    driver.call("cuStreamWaitEvent", c_void_p(stream), c_void_p(event), c_uint(0))


def elapsed_ns(driver: Driver, begin: int, end: int) -> int:
    """Nanoseconds between two timed events that have passed."""
    milliseconds = c_float()
    driver.call("cuEventElapsedTime", byref(milliseconds), c_void_p(begin), c_void_p(end))
    return round(milliseconds.value * 1e6)


def allocate(driver: Driver, nbytes: int) -> int:
    """Device memory at an address of the driver's choice."""
    pointer = c_uint64()
    driver.call("cuMemAlloc_v2", byref(pointer), c_size_t(nbytes))
    return pointer.value


def allocate_host(driver: Driver, nbytes: int) -> tuple[int, int]:
    """Pinned host memory that the device sees; returns its host and its device address."""
    host, device = c_void_p(), c_uint64()
    driver.call("cuMemHostAlloc", byref(host), c_size_t(nbytes), c_uint(HOST_MAPPED))
    driver.call("cuMemHostGetDevicePointer_v2", byref(device), host, c_uint(0))
    return host.value or 0, device.value


def wait_value(driver: Driver, stream: int, address: int, value: int) -> None:
    """Lets the stream wait until the 32-bit word at `address` is at least `value`."""
    driver.call(
        "cuStreamWaitValue32_v2",
        c_void_p(stream),
        c_uint64(address),
        c_uint(value),
        c_uint(WAIT_AT_LEAST),
    )


def copy_to_device(driver: Driver, address: int, content: bytes) -> None:
    """Copies host bytes to the device, and waits."""
    driver.call("cuMemcpyHtoD_v2", c_uint64(address), content, c_size_t(len(content)))


def copy_from_host(
    driver: Driver, address: int, content: Array[c_char], nbytes: int, stream: int
) -> None:
    """Copies pageable host memory to the device, in the stream's order.

    Up to 64 KiB the bytes are taken at once, and the call does not wait for the stream.
    """
    driver.call(
        "cuMemcpyHtoDAsync_v2", c_uint64(address), content, c_size_t(nbytes), c_void_p(stream)
    )


def copy_to_host(driver: Driver, address: int, nbytes: int) -> bytes:
    """Copies device memory to the host, and waits."""
    buffer = (c_ubyte * nbytes)()
    driver.call("cuMemcpyDtoH_v2", buffer, c_uint64(address), c_size_t(nbytes))
    return bytes(buffer)


def copy(driver: Driver, destination: int, source: int, nbytes: int, stream: int) -> None:
    """Copies within the device, in the stream's order."""
    driver.call(
        "cuMemcpyDtoDAsync_v2",
        c_uint64(destination),
        c_uint64(source),
        c_size_t(nbytes),
        c_void_p(stream),
    )


def fill(driver: Driver, address: int, byte: int, nbytes: int, stream: int) -> None:
    """Fills device memory with one byte, in the stream's order."""
    driver.call(
        "cuMemsetD8Async", c_uint64(address), c_ubyte(byte), c_size_t(nbytes), c_void_p(stream)
    )


def memory_type(driver: Driver, address: int) -> str | None:
    """What kind of memory the driver knows at an address; None when it knows nothing there."""
    kind, managed = c_uint(), c_uint()
    try:
        _pointer_attribute(driver, kind, POINTER_MEMORY_TYPE, address)
    except DriverError as error:
        if error.code == INVALID_VALUE:
            return None
        raise
    # Managed memory has the type of where it lies now.
    _pointer_attribute(driver, managed, POINTER_IS_MANAGED, address)
    if managed.value:
        return "managed"
    return MEMORY_TYPES.get(kind.value, f"memory type {kind.value}")


def allocation_of(driver: Driver, address: int) -> tuple[int, int]:
    """Where the allocation that holds an address begins, and how many bytes it has."""
    begin, nbytes = c_uint64(), c_size_t()
    _pointer_attribute(driver, begin, POINTER_RANGE_START, address)
    _pointer_attribute(driver, nbytes, POINTER_RANGE_BYTES, address)
    return begin.value, nbytes.value


def _pointer_attribute(driver: Driver, value: Any, number: int, address: int) -> None:
    driver.call("cuPointerGetAttribute", byref(value), c_int(number), c_uint64(address))
