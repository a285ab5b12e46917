"""Addresses in variables of modules, which are others in each process that loads them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...driver.module_variables import VariablePlace
from ...messages.launch_plan import (
    POINTER_BYTES,
    RESERVATION_BASE,
    RESERVATION_BYTES,
    ConstantCopy,
    DeviceCopy,
    Memset,
    Part,
    PlanNode,
    VariableAddress,
    with_address,
)

LEAST_ADDRESS = 1 << 32
"""Parameters below it are taken for numbers: no device memory lies there."""
MOST_ADDRESS = 1 << 57


@dataclass(frozen=True)
class ModuleVariable:
    """A variable of a loaded module, and where it lies in this process.

    Attributes:
        cubin: of the module.
        changed: what it holds, where that is not what it held when the module was loaded.
    """

    cubin: bytes
    place: VariablePlace
    changed: bytes | None = None


def is_inside(address: int) -> bool:
    """Whether an address lies in what a runner maps at the same place."""
    return RESERVATION_BASE <= address < RESERVATION_BASE + RESERVATION_BYTES


def variable_at(address: int, variables: Sequence[ModuleVariable]) -> ModuleVariable | None:
    """The variable that an address lies in; None where it lies in none."""
    if not LEAST_ADDRESS <= address < MOST_ADDRESS or is_inside(address):
        return None
    return next((v for v in variables if v.place.holds(address)), None)


def without_variables(
    nodes: Sequence[PlanNode],
    variables: Sequence[ModuleVariable],
    position: Callable[[bytes], int],
) -> tuple[list[PlanNode], list[VariableAddress]]:
    """The nodes with 0 for every address in a variable, and what these addresses were.

    Args:
        position: of a cubin among the plan's modules.
    """
    changed: list[PlanNode] = []
    found: list[VariableAddress] = []
    for number, node in enumerate(nodes):
        without = node
        for part, at, address in _addresses(node):
            if (variable := variable_at(address, variables)) is not None:
                place = VariableAddress(
                    node=number,
                    part=part,
                    at=at,
                    module=position(variable.cubin),
                    name=variable.place.name,
                    offset=address - variable.place.address,
                )
                without = with_address(without, place, 0)
                found.append(place)
        changed.append(without)
    return changed, found


def _addresses(node: PlanNode) -> list[tuple[Part, int, int]]:
    """Part, byte of the parameter buffer, and value of all that may be an address in a node."""
    if isinstance(node, Memset):
        return [("address", 0, node.address)]
    if isinstance(node, DeviceCopy):
        return [("source", 0, node.source), ("destination", 0, node.destination)]
    if isinstance(node, ConstantCopy):
        return [("destination", 0, node.destination)]
    data = node.parameter_bytes
    return [
        ("parameter", at, int.from_bytes(data[at : at + POINTER_BYTES], "little"))
        for at in range(0, len(data) - POINTER_BYTES + 1, POINTER_BYTES)
    ]
