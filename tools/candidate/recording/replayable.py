"""Whether a runner can have what a captured launch or copy names; else why not, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from ...driver.graphs import CapturedGraph, CopyNode, KernelNode, MemsetNode, Node
from ...messages.launch_plan import MOST_CONSTANT_BYTES, POINTER_BYTES
from .driver_memory import addresses_in
from .variables import LEAST_ADDRESS, MOST_ADDRESS, ModuleVariable, is_inside, variable_at

SHOWN_NAME = 120


class NotReplayableError(Exception):
    """Raised where a call cannot be a plan; its text is the reason that a result shows."""


def words_of(parameters: bytes, layout: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(parameter, value) of every aligned eight-byte word that could be an address."""
    found: list[tuple[int, int]] = []
    for index, (offset, size) in enumerate(layout):
        begin = -(-offset // POINTER_BYTES) * POINTER_BYTES
        for at in range(begin, offset + size - POINTER_BYTES + 1, POINTER_BYTES):
            value = int.from_bytes(parameters[at : at + POINTER_BYTES], "little")
            if LEAST_ADDRESS <= value < MOST_ADDRESS:
                found.append((index, value))
    return found


def check_addresses(
    node: Node,
    memory_type: Callable[[int], str | None],
    variables: Sequence[ModuleVariable] = (),
) -> None:
    """Refuses a node that names memory which a runner cannot have.

    It can have what lies in the reservation, at the same address, and variables of the modules.

    Raises:
        NotReplayableError: naming the node and the address.
    """

    def known(address: int) -> bool:
        return is_inside(address) or variable_at(address, variables) is not None

    if isinstance(node, KernelNode):
        for index, value in words_of(node.parameters, node.layout):
            if not known(value) and (kind := memory_type(value)) is not None:
                raise NotReplayableError(
                    f"parameter {index} of {node.name[:SHOWN_NAME]} points to {kind} memory at "
                    f"{value:#x}, which another process cannot have at the same address"
                )
    elif isinstance(node, MemsetNode) and not known(node.address):
        raise NotReplayableError(f"a memset writes {node.address:#x}, outside the reservation")
    elif isinstance(node, CopyNode):
        _check_copy(node, memory_type, known)


def _check_copy(
    node: CopyNode, memory_type: Callable[[int], str | None], known: Callable[[int], bool]
) -> None:
    for what, kind, address in (
        ("reads", node.source_memory, node.source),
        ("writes", node.destination_memory, node.destination),
    ):
        if what == "reads" and kind == "host" and memory_type(address) is None:
            _check_constant(node)
        elif kind not in ("device", "unified") or not known(address):
            raise NotReplayableError(f"a copy {what} {kind} memory at {address:#x}")
    if node.depth > 1:
        raise NotReplayableError("a copy has three dimensions")


def _check_constant(node: CopyNode) -> None:
    """A copy of few bytes from pageable memory can be carried; pinned memory may have changed."""
    if node.height > 1 or node.width_bytes > MOST_CONSTANT_BYTES:
        raise NotReplayableError(
            f"a copy reads {node.height} rows of {node.width_bytes} bytes of host memory; one of "
            f"at most {MOST_CONSTANT_BYTES} can be carried"
        )


def require_own_data(
    graph: CapturedGraph, random_state: Collection[int], objects: Mapping[int, str]
) -> None:
    """Refuses kernels whose parameters mean nothing in another process, or are new in each call.

    Args:
        random_state: addresses of torch's, which host code sets before each call.
        objects: what textures and surfaces there are, by their handles.

    Raises:
        NotReplayableError: naming the first such kernel.
    """
    for node in graph.nodes:
        if not isinstance(node, KernelNode):
            continue
        if not set(random_state).isdisjoint(addresses_in(node)):
            raise NotReplayableError(
                f"{node.name[:SHOWN_NAME]} reads torch's random state, which the host sets before "
                "each call"
            )
        for number, (offset, size) in enumerate(node.layout):
            word = int.from_bytes(node.parameters[offset : offset + size], "little")
            if size == POINTER_BYTES and word in objects:
                raise NotReplayableError(
                    f"parameter {number} of {node.name[:SHOWN_NAME]} is {objects[word]}, which "
                    "another process cannot have"
                )
