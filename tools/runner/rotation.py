"""A plan's nodes on tensors at other addresses. Pure.

Parameters are opaque bytes, but the part of the reservation that inputs and outputs lie in is far
from any number that a kernel is given: an aligned word of eight bytes with a value in there is an
address. Addresses in device memory (tables of pointers, descriptors) stay as they are. The judge
checks the outputs of the moved calls, and a call that was moved wrongly has no such figure.
"""

from __future__ import annotations

import struct

from ..messages.launch_plan import ConstantCopy, DeviceCopy, KernelLaunch, Memset, PlanNode

WORD = struct.Struct("<Q")


def moved_node(node: PlanNode, begin: int, end: int, offset: int) -> tuple[PlanNode, int]:
    """The node with each address from `begin` to `end`, both included, moved by `offset`.

    Returns it with the number of addresses that were changed.
    """
    if isinstance(node, KernelLaunch):
        parameters, count = moved_words(node.parameter_bytes, begin, end, offset)
        return node.model_copy(update={"parameters": parameters.hex()}), count
    fields = _ADDRESSES[type(node)]
    changed = {
        name: getattr(node, name) + offset for name in fields if begin <= getattr(node, name) <= end
    }
    return node.model_copy(update=changed), len(changed)


def moved_words(parameters: bytes, begin: int, end: int, offset: int) -> tuple[bytes, int]:
    """A parameter buffer with its addresses moved, and how many there were."""
    changed, count = bytearray(parameters), 0
    for at in range(0, len(changed) - WORD.size + 1, WORD.size):
        (value,) = WORD.unpack_from(changed, at)
        if begin <= value <= end:
            WORD.pack_into(changed, at, value + offset)
            count += 1
    return bytes(changed), count


_ADDRESSES: dict[type[PlanNode], tuple[str, ...]] = {
    Memset: ("address",),
    DeviceCopy: ("source", "destination"),
    ConstantCopy: ("destination",),
}
