"""Executes a kernel's PTX instruction by instruction, for tests without a GPU.

Only the instructions that the kernels use are known; another one is an error, as is an access
outside of the memory that was given, or one that is not aligned.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

MASK = {"32": 0xFFFFFFFF, "64": 0xFFFFFFFFFFFFFFFF}
SHARED_BASE = 0x400
WIDTHS = {"u8": 1, "u32": 4, "f32": 4, "u64": 8}
BARRIER = "barrier"


class Memory:
    """Buffers at addresses of their own."""

    def __init__(self) -> None:
        self._parts: dict[int, np.ndarray] = {}

    def add(self, address: int, content: np.ndarray) -> int:
        """Puts a buffer of bytes at an address."""
        self._parts[address] = content.reshape(-1).view(np.uint8)
        return address

    def read(self, address: int, nbytes: int) -> bytes:
        begin, content = self._at(address, nbytes)
        return content[begin : begin + nbytes].tobytes()

    def write(self, address: int, data: bytes) -> None:
        begin, content = self._at(address, len(data))
        content[begin : begin + len(data)] = np.frombuffer(data, np.uint8)

    def _at(self, address: int, nbytes: int) -> tuple[int, np.ndarray]:
        assert address % nbytes == 0, f"{nbytes} bytes at {address:#x} are not aligned"
        for begin, content in self._parts.items():
            if begin <= address and address + nbytes <= begin + content.nbytes:
                return address - begin, content
        raise AssertionError(f"{nbytes} bytes at {address:#x} are outside of all memory")


def entry(source: str, name: str) -> tuple[dict[str, int], list[tuple[str, str, list[str]]]]:
    """Where each parameter lies, and the instructions: predicate, name, operands; labels too."""
    found = re.search(rf"\.entry {name}\((.*?)\)(.*?)\n\}}", source, re.DOTALL)
    assert found is not None, f"there is no kernel {name}"
    places, at = {}, 0
    for kind, parameter, count in re.findall(
        r"\.param (?:\.align \d )?\.(\w+) (\w+)(?:\[(\d+)\])?", found[1]
    ):
        size = int(count) if count else WIDTHS[kind]
        at = -(-at // (4 if count else size)) * (4 if count else size)
        places[parameter] = at
        at += size
    lines = [line.strip().rstrip(";") for line in found[2].splitlines()]
    body = [line for line in lines if line and line[0] not in "{." and not line.startswith("//")]
    return places, [_instruction(line) for line in body]


def _instruction(line: str) -> tuple[str, str, list[str]]:
    if line.endswith(":"):
        return "", "label", [line[:-1]]
    predicate = ""
    if line.startswith("@"):
        predicate, line = line[1:].split(maxsplit=1)
    name, _, rest = line.partition(" ")
    return predicate, name, re.findall(r"\{.*?\}|\[.*?\]|[^,\s]+", rest)


def launch(
    source: str,
    name: str,
    *,
    grid: int,
    threads: int,
    parameters: bytes,
    memory: Memory,
    shared_bytes: int,
) -> None:
    """Runs a kernel on the memory; blocks one after another, threads up to each barrier."""
    places, body = entry(source, name)
    for block in range(grid):
        memory.add(SHARED_BASE, np.full(max(shared_bytes, 1), 0xEE, np.uint8))
        known = {"%ctaid.x": block, "%ntid.x": threads, "%nctaid.x": grid}
        running = [
            _Thread({**known, "%tid.x": n}, places, parameters, memory).run(body)
            for n in range(threads)
        ]
        while running:
            running = [thread for thread in running if next(thread, None) == BARRIER]


class _Thread:
    def __init__(
        self, special: dict[str, int], places: dict[str, int], parameters: bytes, memory: Memory
    ) -> None:
        self._values: dict[str, Any] = {**special, "dynamic_shared": SHARED_BASE}
        self._places, self._parameters, self._memory = places, parameters, memory

    def run(self, body: Sequence[tuple[str, str, list[str]]]) -> Iterator[str]:
        labels = {given[0]: at for at, (_, name, given) in enumerate(body) if name == "label"}
        at = 0
        while True:
            predicate, name, given = body[at]
            at += 1
            if name == "label" or (predicate and not self._values[predicate]):
                continue
            if name == "ret":
                return
            if name == "bar.sync":
                yield BARRIER
            elif name == "bra":
                at = labels[given[0]]
            else:
                self._execute(name, given)

    def _execute(self, name: str, given: list[str]) -> None:
        kind, *rest = name.split(".")
        if kind in ("ld", "st"):
            self._access(kind, rest, given)
        elif name == "mov.b64":
            self._halves(given)
        else:
            self._values[given[0]] = OPERATIONS[name](*(self._value(g) for g in given[1:]))

    def _value(self, operand: str) -> Any:
        if operand in self._values:
            return self._values[operand]
        if operand.startswith("0f"):
            return np.frombuffer(bytes.fromhex(operand[2:])[::-1], np.float32)[0]
        return int(operand, 0)

    def _halves(self, given: list[str]) -> None:
        target, source = given
        if target.startswith("{"):
            low, high = re.findall(r"%\w+", target)
            value = self._values[source]
            self._values[low], self._values[high] = value & MASK["32"], value >> 32
        else:
            low, high = (self._values[name] for name in re.findall(r"%\w+", source))
            self._values[target] = high << 32 | low

    def _access(self, kind: str, rest: list[str], given: list[str]) -> None:
        registers, place = (given[1], given[0]) if kind == "st" else given
        named = re.findall(r"%\w+", registers)
        form = {"u8": "B", "u32": "I", "u64": "Q", "f32": "f"}[rest[-1]]
        layout = struct.Struct(f"<{len(named)}{form}")
        base, *offsets = place.strip("[]").split("+")
        if rest[0] == "param":
            begin = self._places[base] + sum(map(int, offsets))
            (self._values[named[0]],) = layout.unpack_from(self._parameters, begin)
            return
        address = self._value(base) + sum(map(int, offsets))
        assert (address < 1 << 20) == (rest[0] == "shared"), f"{address:#x} is not {rest[0]}"
        if kind == "st":
            self._memory.write(address, layout.pack(*(self._values[n] for n in named)))
            return
        values = layout.unpack(self._memory.read(address, layout.size))
        self._values |= {
            n: np.float32(v) if form == "f" else v for n, v in zip(named, values, strict=True)
        }


def _prmt(a: int, b: int, selector: int) -> int:
    source = (a & MASK["32"]) | b << 32
    picked = [source >> 8 * (selector >> 4 * n & 7) & 0xFF for n in range(4)]
    return sum(byte << 8 * n for n, byte in enumerate(picked))


def _bits(value: Any) -> int:
    return value if isinstance(value, int) else int(value.view(np.uint32))


OPERATIONS: dict[str, Callable[..., Any]] = {
    "mov.u32": lambda a: a,
    "mov.u64": lambda a: a,
    "mov.b32": _bits,
    "cvt.u64.u32": lambda a: a,
    "cvt.rn.f32.u32": np.float32,
    "add.u32": lambda a, b: (a + b) & MASK["32"],
    "add.u64": lambda a, b: (a + b) & MASK["64"],
    "mul.wide.u32": lambda a, b: a * b,
    "mad.lo.u32": lambda a, b, c: (a * b + c) & MASK["32"],
    "mul.rn.f32": lambda a, b: np.float32(a * b),
    "add.rn.f32": lambda a, b: np.float32(a + b),
    "xor.b32": lambda a, b: a ^ b,
    "or.b32": lambda a, b: a | b,
    "and.b32": lambda a, b: a & b,
    "shl.b32": lambda a, b: (a << b) & MASK["32"],
    "shl.b64": lambda a, b: (a << b) & MASK["64"],
    "shr.u32": lambda a, b: a >> b,
    "bfe.u32": lambda a, begin, count: a >> begin & ((1 << count) - 1),
    "clz.b32": lambda a: 32 - a.bit_length(),
    "prmt.b32": _prmt,
    "setp.ge.u32": lambda a, b: a >= b,
    "setp.ge.u64": lambda a, b: a >= b,
}
