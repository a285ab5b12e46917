"""Memory that the driver placed, given an address in a plan that a runner can have, too. Pure.

`cudaMalloc` and `cudaMallocAsync` give addresses of the driver's choice. A plan names them in
parameters, copies and memsets alone; there they are exchanged for addresses at the end of the part
of the reservation that the candidate's own memory is taken from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...driver.graphs import CopyNode, KernelNode, MemsetNode, Node
from ...messages.launch_plan import ARENA_BASE, POINTER_BYTES

ALIGNMENT = 2 << 20
ON_DEVICE = ("device", "unified")


@dataclass(frozen=True)
class DriverMemory:
    """An allocation of the driver's: `content` is None where the call itself allocates it."""

    address: int
    nbytes: int
    content: bytes | None

    def holds(self, address: int) -> bool:
        """Whether the address lies in it."""
        return self.address <= address < self.address + self.nbytes


@dataclass(frozen=True)
class PlacedMemory:
    """The same, and the address that it has in the plan."""

    memory: DriverMemory
    address: int


def placed(found: Iterable[DriverMemory]) -> list[PlacedMemory]:
    """Gives each allocation an address; those that overlap, made one after another, share one."""
    joined: list[DriverMemory] = []
    for one in sorted(found, key=lambda one: one.address):
        last = joined[-1] if joined else None
        if last is None or one.address >= last.address + last.nbytes:
            joined.append(one)
            continue
        end = max(last.address + last.nbytes, one.address + one.nbytes)
        joined[-1] = DriverMemory(last.address, end - last.address, None)
    at, places = ARENA_BASE, list[PlacedMemory]()
    for one in joined:
        at -= -(-one.nbytes // ALIGNMENT) * ALIGNMENT
        places.append(PlacedMemory(one, at))
    return places


def moved(node: Node, places: Sequence[PlacedMemory]) -> Node:
    """The node with the plan's addresses in place of the driver's."""
    if isinstance(node, KernelNode):
        return replace(node, parameters=_moved_parameters(node, places))
    if isinstance(node, MemsetNode):
        return replace(node, address=_new(node.address, places))
    if isinstance(node, CopyNode):
        source, destination = node.source, node.destination
        if node.source_memory in ON_DEVICE:
            source = _new(source, places)
        if node.destination_memory in ON_DEVICE:
            destination = _new(destination, places)
        return replace(node, source=source, destination=destination)
    return node


def addresses_in(node: Node) -> list[int]:
    """Every number in a node that may be an address on the device."""
    if isinstance(node, KernelNode):
        return [value for _, value in _words(node)]
    if isinstance(node, MemsetNode):
        return [node.address]
    if isinstance(node, CopyNode):
        sides = [(node.source_memory, node.source), (node.destination_memory, node.destination)]
        return [address for kind, address in sides if kind in ON_DEVICE]
    return []


def held_address(content: bytes, places: Sequence[PlacedMemory]) -> int | None:
    """The first word of some memory that is an address of the driver's; None where none is."""
    words = np.frombuffer(content, np.uint64, len(content) // POINTER_BYTES)
    for place in places:
        begin, nbytes = place.memory.address, place.memory.nbytes
        inside = words[(words >= begin) & (words < begin + nbytes)]
        if inside.size:
            return int(inside[0])
    return None


def _words(node: KernelNode) -> list[tuple[int, int]]:
    """Place and value of every aligned word of the parameters."""
    found: list[tuple[int, int]] = []
    for offset, size in node.layout:
        first = -(-offset // POINTER_BYTES) * POINTER_BYTES
        for at in range(first, offset + size - POINTER_BYTES + 1, POINTER_BYTES):
            word = node.parameters[at : at + POINTER_BYTES]
            found.append((at, int.from_bytes(word, "little")))
    return found


def _moved_parameters(node: KernelNode, places: Sequence[PlacedMemory]) -> bytes:
    changed = bytearray(node.parameters)
    for at, value in _words(node):
        changed[at : at + POINTER_BYTES] = _new(value, places).to_bytes(POINTER_BYTES, "little")
    return bytes(changed)


def _new(address: int, places: Sequence[PlacedMemory]) -> int:
    for place in places:
        if place.memory.holds(address):
            return place.address + address - place.memory.address
    return address
