"""A driver without a device, and a cubin without code, for tests."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any

from kernel_harness.tools.driver.library import DriverError

Handler = Callable[..., None]


def value_of(argument: Any) -> Any:
    """What an argument of a driver call holds."""
    return getattr(argument, "value", argument)


def give(target: Any, value: float) -> None:
    """Writes to where a `byref` points."""
    target._obj.value = value


class FakeDriver:
    """Counts calls, hands out handles, keeps a dictionary of memory.

    Args:
        failing: CUDA error by name of function.
    """

    def __init__(self, failing: dict[str, int] | None = None) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.failing = failing or {}
        self._next = 0x1000
        self.reserved_elsewhere = False
        self.words: list[Any] = []
        self.functions: dict[int, str] = {}

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def call(self, function: str, *arguments: Any) -> None:
        self.calls.append((function, tuple(value_of(a) for a in arguments)))
        if function in self.failing:
            raise DriverError(function, self.failing[function])
        handler = getattr(self, f"_{function}", None)
        if handler is not None:
            handler(*arguments)
        elif arguments and type(arguments[0]).__name__ == "CArgObject":
            self._hand_out(arguments[0])

    def _hand_out(self, target: Any) -> None:
        if hasattr(target._obj, "value"):
            self._next += 0x10
            give(target, self._next)

    def _cuMemAddressReserve(self, given: Any, _size: Any, _align: Any, address: Any, _f: Any):
        give(given, 0x7F0000000000 if self.reserved_elsewhere else address.value or 0x7E0000000000)

    def _cuMemGetAllocationGranularity(self, size: Any, *_: Any) -> None:
        give(size, 2 << 20)

    def _cuDeviceGetAttribute(self, value: Any, number: Any, *_: Any) -> None:
        give(value, {16: 4, 38: 1 << 20, 97: 232_448}[number.value])

    def _cuOccupancyMaxActiveBlocksPerMultiprocessor(self, count: Any, *_: Any) -> None:
        give(count, 2)

    def _cuCtxGetLimit(self, value: Any, *_: Any) -> None:
        give(value, 1_024)

    def _cuModuleGetFunction(self, function: Any, _module: Any, name: bytes) -> None:
        self._hand_out(function)
        self.functions[function._obj.value] = name.decode()

    def _cuStreamEndCapture(self, _stream: Any, graph: Any) -> None:
        self._hand_out(graph)

    def launched(self) -> list[str]:
        """The names of the kernels that were launched, in order."""
        found = [arguments[1] for name, arguments in self.calls if name == "cuLaunchKernelEx"]
        return [self.functions[handle] for handle in found]

    def _cuMemHostAlloc(self, host: Any, *_: Any) -> None:
        word = ctypes.c_uint(0)
        self.words.append(word)
        give(host, ctypes.addressof(word))

    def _cuEventElapsedTime(self, milliseconds: Any, *_: Any) -> None:
        give(milliseconds, 0.005)

    def _cuFuncGetAttribute(self, value: Any, *_: Any) -> None:
        give(value, 0)


def make_cubin(
    kernels: Sequence[str] = ("first",),
    variables: dict[str, int] | None = None,
    machine: int = 190,
    calls: Sequence[str] = (),
    sections: dict[str, bytes] | None = None,
) -> bytes:
    """An ELF file with the tables of a cubin, and no code in it.

    Args:
        sections: more of them, with what they hold.
    """
    names = bytearray(b"\0")
    symbols = bytearray(24)
    tables: list[tuple[int, int, bytes, int]] = [(0, 0, b"", 0)]

    def named(text: str) -> int:
        names.extend(text.encode() + b"\0")
        return len(names) - len(text) - 1

    tables.extend((named(f".text.{kernel}"), 1, b"\0" * 16, 0) for kernel in kernels)
    tables.extend((named(name), 1, held, 0) for name, held in (sections or {}).items())
    at = len(tables)
    tables.append((named(".nv.global"), 8, b"", 0))
    for name, nbytes in (variables or {}).items():
        symbols += struct.pack("<IBBHQQ", named(name), 1, 0, at, 0, nbytes)
    for name in calls:
        symbols += struct.pack("<IBBHQQ", named(name), 0x12, 0, 0, 0, 0)
    tables.append((named(".symtab"), 2, bytes(symbols), at + 2))
    section_name = named(".strtab")
    tables.append((section_name, 3, bytes(names), 0))
    body, table = bytearray(64), bytearray()
    for name, kind, content, link in tables:
        table += struct.pack(
            "<IIQQQQIIQQ", name, kind, 0, 0, len(body), len(content), link, 0, 0, 0
        )
        body += content
    header = struct.pack(
        "<4sBBBBB7xHHIQQQIHHHHHH",
        b"\x7fELF",
        2,
        1,
        1,
        51,
        7,
        2,
        machine,
        1,
        0,
        0,
        len(body),
        0x5A055A,
        64,
        0,
        0,
        64,
        len(tables),
        len(tables) - 1,
    )
    body[:64] = header
    return bytes(body + table)
