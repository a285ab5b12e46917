"""Launches on the default stream, enqueued on the stream that is captured as well.

The default stream cannot be captured: what a call launches there runs while the rest is recorded.
So each such launch, memset and copy to the device is enqueued a second time on the captured
stream, in the driver's own callback before it happens; the host's order is the order of the graph.
Waits for the device are seen in the same way, and are why a call cannot be replayed.

Layouts: generated_cuda_meta.h of CUDA 13; numbers: cupti_driver_cbid.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_size_t, c_ubyte, c_uint, c_uint64, c_ushort, c_void_p
from functools import partial

from ...driver.library import Driver, DriverError
from ...driver.structures import LaunchConfig
from .launch_calls import LAUNCH, LAUNCH_COOPERATIVE, LAUNCH_EX, LaunchCall, LaunchExCall

DEFAULT_STREAMS = (0, 1)
"""The handle that means it where nothing is said, and the one that names it."""
MEMSET_8, MEMSET_16, MEMSET_32 = 216, 218, 220
COPY, COPY_ON_DEVICE, COPY_FROM_HOST = 306, 281, 277
WAITS = {
    17: "cuCtxSynchronize",
    800: "cuCtxSynchronize",
    121: "cuEventSynchronize",
    126: "cuStreamSynchronize",
    278: "cuMemcpyDtoH",
    279: "cuMemcpyDtoHAsync",
    305: "cuMemcpy",
}
"""Driver calls, by CUPTI's number, after which host code may know what the device wrote."""


class _Memset8(ctypes.Structure):
    _fields_ = [
        ("address", c_uint64),
        ("value", c_ubyte),
        ("count", c_size_t),
        ("stream", c_void_p),
    ]


class _Memset16(ctypes.Structure):
    _fields_ = [
        ("address", c_uint64),
        ("value", c_ushort),
        ("count", c_size_t),
        ("stream", c_void_p),
    ]


class _Memset32(ctypes.Structure):
    _fields_ = [
        ("address", c_uint64),
        ("value", c_uint),
        ("count", c_size_t),
        ("stream", c_void_p),
    ]


class _Copy(ctypes.Structure):
    _fields_ = [
        ("destination", c_uint64),
        ("source", c_uint64),
        ("nbytes", c_size_t),
        ("stream", c_void_p),
    ]


_Memset = _Memset8 | _Memset16 | _Memset32
_MEMSETS: dict[int, tuple[str, type[_Memset]]] = {
    MEMSET_8: ("cuMemsetD8Async", _Memset8),
    MEMSET_16: ("cuMemsetD16Async", _Memset16),
    MEMSET_32: ("cuMemsetD32Async", _Memset32),
}


class DefaultStreamMirror:
    """Enqueues on a captured stream what a call enqueues on the default stream.

    Args:
        driver: libcuda.
        stream: the handle of the stream that is captured.
    """

    def __init__(self, driver: Driver, stream: int) -> None:
        self._driver, self._stream = driver, stream
        self.fault: str | None = None
        """Why the call cannot be replayed, in words; None so far."""
        self._handlers: dict[int, Callable[[int], None]] = {
            LAUNCH: lambda at: self._launched(at, "cuLaunchKernel"),
            LAUNCH_COOPERATIVE: lambda at: self._launched(at, "cuLaunchCooperativeKernel"),
            LAUNCH_EX: self._launched_with_attributes,
            COPY: self._copied,
            COPY_ON_DEVICE: self._copied,
            COPY_FROM_HOST: self._copied,
        }
        for number in _MEMSETS:
            self._handlers[number] = partial(self._filled, number)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The driver calls that it wants to see, by CUPTI's number."""
        return (*self._handlers, *WAITS)

    def entered(self, number: int, parameters: int) -> None:
        """Called as a driver call begins, with the address of its parameters."""
        if number in WAITS:
            self.fault = self.fault or f"the call waits for the device ({WAITS[number]})"
            return
        try:
            self._handlers[number](parameters)
        except DriverError as error:
            self.fault = self.fault or f"a launch on the default stream cannot be recorded: {error}"

    def _launched(self, address: int, function: str) -> None:
        said = LaunchCall.from_address(address)
        if (said.stream or 0) not in DEFAULT_STREAMS:
            return
        extra = () if function == "cuLaunchCooperativeKernel" else (c_void_p(said.extra),)
        self._driver.call(
            function,
            c_void_p(said.function),
            *map(c_uint, (*said.grid, *said.block, said.shared_bytes)),
            c_void_p(self._stream),
            c_void_p(said.parameters),
            *extra,
        )

    def _launched_with_attributes(self, address: int) -> None:
        said = LaunchExCall.from_address(address)
        config = said.config.contents
        if (config.stream or 0) not in DEFAULT_STREAMS:
            return
        other = LaunchConfig.from_buffer_copy(config)
        other.stream = self._stream
        self._driver.call(
            "cuLaunchKernelEx",
            byref(other),
            c_void_p(said.function),
            c_void_p(said.parameters),
            c_void_p(said.extra),
        )

    def _filled(self, number: int, address: int) -> None:
        name, layout = _MEMSETS[number]
        said = layout.from_address(address)
        if (said.stream or 0) in DEFAULT_STREAMS:
            self._driver.call(
                name,
                c_uint64(said.address),
                c_uint(said.value),
                c_size_t(said.count),
                c_void_p(self._stream),
            )

    def _copied(self, address: int) -> None:
        said = _Copy.from_address(address)
        if (said.stream or 0) in DEFAULT_STREAMS:
            self._driver.call(
                "cuMemcpyAsync",
                c_uint64(said.destination),
                c_uint64(said.source),
                c_size_t(said.nbytes),
                c_void_p(self._stream),
            )
