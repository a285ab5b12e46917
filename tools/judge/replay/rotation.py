"""Copies of a call's tensors at other addresses, which calls back to back take in turn. Pure.

What a call costs in steady state is seen when its inputs are in no cache by themselves: the calls
go over copies that are together larger than the L2.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...messages.launch_plan import ARENA_BASE, COPIES_BASE
from ...messages.runner import MOST_CALLS, Poison, ReplayCall
from .session import CallTensor, Staging, replay_calls

ALIGNMENT = 64 << 10
"""Copies are shifted by multiples of it, so that alignment that kernels test for stays."""
L2_TIMES = 3
LEAST_COPIES = 8
MOST_GRAPH_NODES = 8_000
UNREAD_BYTE = 0xFF


class NotRotatedError(Exception):
    """Raised where a call cannot be made on copies of its tensors; its text is the reason."""


@dataclass(frozen=True)
class Rotation:
    """Where the copies lie.

    Args:
        begin, end: the addresses of the call's own tensors.
        offsets: of each copy from them.
        nbytes: that all copies take, gaps included.
    """

    begin: int
    end: int
    offsets: tuple[int, ...]
    nbytes: int


def rotation_of(
    tensors: Sequence[CallTensor], *, nodes: int, l2_bytes: int, memory_bytes: int
) -> Rotation:
    """As many copies as are three times as large as the L2, and fit.

    Args:
        tensors: of one call.
        nodes: of its plan.
        l2_bytes: of the device.
        memory_bytes: that the copies may take.

    Raises:
        NotRotatedError: when there is no room for two copies, or an output has no address of its
            own.
    """
    filled = [t for t in tensors if t.nbytes]
    if not filled:
        raise NotRotatedError("the call has no tensors")
    if any(t.address < ARENA_BASE for t in filled):
        raise NotRotatedError("the call returns an output in memory of its own")
    begin = min(t.address for t in filled)
    end = max(t.address + t.nbytes for t in filled)
    base = begin // ALIGNMENT * ALIGNMENT
    stride = -(-(end - base) // ALIGNMENT) * ALIGNMENT
    each = sum(t.nbytes for t in filled)
    enough = max(LEAST_COPIES, math.ceil(L2_TIMES * l2_bytes / each))
    count = min(enough, MOST_CALLS, MOST_GRAPH_NODES // nodes, memory_bytes // stride)
    if count < 2:
        raise NotRotatedError(f"two copies of {stride} bytes and {nodes} launches are too many")
    offsets = tuple(COPIES_BASE - base + number * stride for number in range(count))
    return Rotation(begin, end, offsets, count * stride)


def rotated_calls(
    tensors: Sequence[CallTensor],
    staging: Staging,
    base: int,
    rotation: Rotation,
    kept: Sequence[int],
    poison: Sequence[int],
) -> list[ReplayCall]:
    """The moves of the call on each copy.

    The first also fills the call's own tensors: an address that was not moved leads to nothing
    that could pass for an input.

    Args:
        tensors: of one call.
        staging: where values lie.
        base: the address of the staging memory in the runner.
        rotation: the copies.
        kept: copies whose outputs are copied out, each to the place of the call of that number in
            the staging memory; the others take the inputs of these in turn.
        poison: for each kept copy, the byte that its outputs are filled with.
    """
    places = {copy: place for place, copy in enumerate(kept)}
    calls: list[ReplayCall] = []
    for copy, offset in enumerate(rotation.offsets):
        moved = [
            CallTensor(t.name, t.address + offset, t.nbytes, t.is_output)
            for t in tensors
            if t.nbytes
        ]
        place = places.get(copy, copy % len(kept))
        one = _shifted(moved, staging, base, place, poison[place])
        calls.append(one if copy in places else one.model_copy(update={"after": []}))
    own = [
        Poison(address=t.address, nbytes=t.nbytes, byte=UNREAD_BYTE) for t in tensors if t.nbytes
    ]
    calls[0] = calls[0].model_copy(update={"poison": [*own, *calls[0].poison]})
    return calls


def _shifted(
    tensors: Collection[CallTensor], staging: Staging, base: int, place: int, byte: int
) -> ReplayCall:
    """The call whose values lie at a place of the staging memory."""
    (call,) = replay_calls(list(tensors), staging, base + place * staging.call_bytes, [byte])
    return call
