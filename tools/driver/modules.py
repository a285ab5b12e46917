"""Cubins loaded into a context, their functions and globals; kernel launches."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

from .library import INVALID_VALUE, NOT_FOUND, Driver, DriverError
from .structures import LaunchAttribute, LaunchConfig

LOCAL_BYTES = 3
MAX_DYNAMIC_SHARED = 8
SHARED_CARVEOUT = 9
NON_PORTABLE_CLUSTER = 14
FUNCTION_ATTRIBUTES = (MAX_DYNAMIC_SHARED, SHARED_CARVEOUT, NON_PORTABLE_CLUSTER)
"""Of CUfunction_attribute, those that host code sets before a launch."""
COOPERATIVE, CLUSTER, CLUSTER_POLICY, PROGRAMMATIC, PRIORITY = 2, 4, 5, 6, 8
"""Of CUlaunchAttributeID."""
PARAMETER_BUFFER, PARAMETER_BYTES, END = 1, 2, 0
"""CU_LAUNCH_PARAM_BUFFER_POINTER, _BUFFER_SIZE, _END."""
MOST_PARAMETERS = 4_096


def load(driver: Driver, cubin: bytes) -> int:
    """Loads a cubin into the current context; returns the module."""
    module = c_void_p()
    driver.call("cuModuleLoadData", byref(module), c_char_p(cubin))
    return module.value or 0


def function_of(driver: Driver, module: int, name: str) -> int | None:
    """A kernel of a module by its mangled name; None when the module has none of it."""
    function = c_void_p()
    try:
        driver.call("cuModuleGetFunction", byref(function), c_void_p(module), name.encode())
    except DriverError as error:
        if error.code == NOT_FOUND:
            return None
        raise
    return function.value


def global_of(driver: Driver, module: int, name: str) -> tuple[int, int] | None:
    """The address and size of a module's global; None when the module has none of it."""
    address, nbytes = c_uint64(), c_size_t()
    try:
        driver.call(
            "cuModuleGetGlobal_v2", byref(address), byref(nbytes), c_void_p(module), name.encode()
        )
    except DriverError as error:
        if error.code == NOT_FOUND:
            return None
        raise
    return address.value, nbytes.value


def name_of(driver: Driver, function: int) -> str:
    """The mangled name of a function."""
    name = c_char_p()
    driver.call("cuFuncGetName", byref(name), c_void_p(function))
    return (name.value or b"").decode("utf-8", "replace")


def module_of(driver: Driver, function: int) -> int:
    """The module that a function belongs to."""
    module = c_void_p()
    driver.call("cuFuncGetModule", byref(module), c_void_p(function))
    return module.value or 0


def parameter_layout(driver: Driver, function: int) -> list[tuple[int, int]]:
    """Offset and size in bytes of each parameter of a function."""
    layout: list[tuple[int, int]] = []
    offset, size = c_size_t(), c_size_t()
    for index in range(MOST_PARAMETERS):
        try:
            driver.call(
                "cuFuncGetParamInfo",
                c_void_p(function),
                c_size_t(index),
                byref(offset),
                byref(size),
            )
        except DriverError as error:
            if error.code == INVALID_VALUE:
                break
            raise
        layout.append((offset.value, size.value))
    return layout


def packed_parameters(pointers: Any, extra: Any, layout: Sequence[tuple[int, int]]) -> bytes:
    """The parameters of a launch as one buffer, however the launch gave them.

    Args:
        pointers: kernelParams of the driver's launch functions, a pointer to one per parameter.
        extra: their other way, names and values in turn.
    """
    if not layout:
        return b""
    buffer = bytearray(max(offset + size for offset, size in layout))
    if pointers:
        for index, (offset, size) in enumerate(layout):
            buffer[offset : offset + size] = ctypes.string_at(pointers[index] or 0, size)
        return bytes(buffer)
    begin = nbytes = at = 0
    while extra and (name := extra[at]):
        if name == PARAMETER_BUFFER:
            begin = extra[at + 1] or 0
        elif name == PARAMETER_BYTES:
            nbytes = c_size_t.from_address(extra[at + 1] or 0).value
        at += 2
    return ctypes.string_at(begin, min(nbytes, len(buffer))).ljust(len(buffer), b"\0")


def function_of_launch(driver: Driver, handle: int) -> int:
    """The function that a launch names, which may be a kernel of a library instead."""
    try:
        name_of(driver, handle)
    except DriverError:
        found = c_void_p()
        driver.call("cuKernelGetFunction", byref(found), c_void_p(handle))
        return found.value or 0
    return handle


def attribute(driver: Driver, function: int, number: int) -> int:
    """One of CUfunction_attribute."""
    value = c_int()
    driver.call("cuFuncGetAttribute", byref(value), c_int(number), c_void_p(function))
    return value.value


def set_attribute(driver: Driver, function: int, number: int, value: int) -> None:
    """Sets one of CUfunction_attribute."""
    driver.call("cuFuncSetAttribute", c_void_p(function), c_int(number), c_int(value))


def resident_blocks(driver: Driver, function: int, threads: int, shared_bytes: int) -> int:
    """How many blocks of a kernel a multiprocessor holds at once."""
    count = c_int()
    driver.call(
        "cuOccupancyMaxActiveBlocksPerMultiprocessor",
        byref(count),
        c_void_p(function),
        c_int(threads),
        c_size_t(shared_bytes),
    )
    return count.value


@dataclass(frozen=True)
class LaunchShape:
    """How a kernel is launched, parameters aside."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int = 0
    cluster: tuple[int, int, int] | None = None
    cluster_policy: int = 0
    cooperative: bool = False
    programmatic: bool = False
    priority: int = 0


class PreparedLaunch:
    """A launch whose structures are made once: what is left is one call of the driver.

    Args:
        function: of the current context.
        shape: grid, block and attributes.
        parameters: the packed parameter buffer.
        stream: where it is launched.
    """

    def __init__(self, function: int, shape: LaunchShape, parameters: bytes, stream: int) -> None:
        self.function = c_void_p(function)
        self._attributes = _attributes(shape)
        self._buffer = ctypes.create_string_buffer(parameters, max(len(parameters), 1))
        self._size = c_size_t(len(parameters))
        self._extra = (c_void_p * 5)(
            PARAMETER_BUFFER,
            ctypes.addressof(self._buffer),
            PARAMETER_BYTES,
            ctypes.addressof(self._size),
            END,
        )
        self._config = LaunchConfig(
            grid=(c_uint * 3)(*shape.grid),
            block=(c_uint * 3)(*shape.block),
            shared_bytes=shape.shared_bytes,
            stream=stream,
            attributes=self._attributes,
            attribute_count=len(self._attributes),
        )
        extra: Any = self._extra if parameters else None
        self._arguments = (byref(self._config), self.function, None, extra)

    def launch(self, driver: Driver) -> None:
        """Enqueues the kernel."""
        driver.call("cuLaunchKernelEx", *self._arguments)


def _attributes(shape: LaunchShape) -> ctypes.Array[LaunchAttribute]:
    made: list[LaunchAttribute] = []

    def add(number: int, value: int) -> LaunchAttribute:
        attribute = LaunchAttribute(id=number)
        attribute.value.number = value
        made.append(attribute)
        return attribute

    if shape.cooperative:
        add(COOPERATIVE, 1)
    if shape.cluster is not None:
        add(CLUSTER, 0).value.extent = (c_uint * 3)(*shape.cluster)
    if shape.cluster_policy:
        add(CLUSTER_POLICY, shape.cluster_policy)
    if shape.programmatic:
        add(PROGRAMMATIC, 1)
    if shape.priority:
        add(PRIORITY, shape.priority)
    return (LaunchAttribute * len(made))(*made)
