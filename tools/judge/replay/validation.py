"""What a launch plan's bytes must show before a runner is given them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

from ...driver.cubin import Cubin, CubinError, read_cubin
from ...messages.launch_plan import (
    ARENA_BASE,
    ConstantCopy,
    DeviceCopy,
    LaunchPlan,
    Memset,
    Part,
    PlanNode,
    split_blobs,
)

Range = tuple[int, int]
"""The first address, and the one after the last."""


DEVICE_LAUNCH = ("__cuda_syscall_cnp", "cudaGraph")
"""How the names of the functions begin by which a kernel launches another, or a whole graph."""


class PlanFault(StrEnum):
    """What is wrong with a plan."""

    FORM = "form"
    """It is not a plan, or exceeds its limits."""
    BLOBS = "blobs"
    """The file beside it is not what it says."""
    MODULE = "module"
    """A module is no cubin for this device, or lacks a kernel, a variable, or a place in one."""
    MEMORY = "memory"
    """A copy or memset touches memory that is not the call's, or there is too much of it."""


class PlanError(Exception):
    """Raised for a plan that no runner may be given; the candidate's failure, told as `claimed`."""

    def __init__(self, fault: PlanFault, words: str) -> None:
        self.fault, self.words = fault, words
        super().__init__(words)


@dataclass(frozen=True)
class CheckedPlan:
    """A plan that holds together, and its blobs in its order."""

    plan: LaunchPlan
    blobs: tuple[bytes, ...]


def check_plan(
    said: object,
    file: bytes | memoryview,
    *,
    architecture: str,
    arena: Sequence[Range],
    scratch_bytes: int,
) -> CheckedPlan:
    """Validates a plan and the file beside it.

    Args:
        said: the plan as plain data, or as a `LaunchPlan`.
        file: the blobs, one after another.
        architecture: of the device, e.g. 'sm_90'.
        arena: what the judge shares with candidate and runner.
        scratch_bytes: the most that the plan's own regions may take.

    Raises:
        PlanError: naming the first fault.
    """
    plan = _parsed(said)
    if plan.architecture != architecture:
        words = f"The plan is for {plan.architecture}, the device is {architecture}"
        raise PlanError(PlanFault.MODULE, words)
    try:
        blobs = split_blobs(plan.blobs, file)
    except ValueError as error:
        raise PlanError(PlanFault.BLOBS, str(error)) from error
    cubins = [_cubin(n, data) for n, data in enumerate(blobs[: len(plan.modules)])]
    _check_modules(plan, cubins)
    _check_memory(plan, arena, scratch_bytes, _bytes_left(plan, cubins))
    return CheckedPlan(plan, tuple(blobs))


def _parsed(said: object) -> LaunchPlan:
    try:
        return LaunchPlan.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PlanError(PlanFault.FORM, f"{place}: {first['msg']}"[:300]) from error


def _cubin(number: int, data: bytes) -> Cubin:
    try:
        return read_cubin(data)
    except CubinError as error:
        raise PlanError(PlanFault.MODULE, f"Module {number}: {error}") from error


def _check_modules(plan: LaunchPlan, cubins: Sequence[Cubin]) -> None:
    for number, cubin in enumerate(cubins):
        if any(name.startswith(DEVICE_LAUNCH) for name in cubin.system_calls()):
            # An activity of CUPTI ends with its own kernel, not with those that it launches.
            words = f"Module {number} launches kernels from the device, whose time is not its own"
            raise PlanError(PlanFault.MODULE, words)
    for node in plan.kernels:
        if node.function not in cubins[node.module].kernels:
            words = f"Module {node.module} has no kernel {node.function[:120]}"
            raise PlanError(PlanFault.MODULE, words)
    for image in plan.globals:
        nbytes = cubins[image.module].globals().get(image.name)
        if nbytes != plan.contents[image.content].nbytes:
            words = f"Module {image.module} has no variable {image.name[:120]} of this size"
            raise PlanError(PlanFault.MODULE, words)


def _bytes_left(plan: LaunchPlan, cubins: Sequence[Cubin]) -> dict[tuple[int, Part], int]:
    """How many bytes of its variable follow each address in one, by node and part."""
    left: dict[tuple[int, Part], int] = {}
    for variable in plan.variables:
        nbytes = cubins[variable.module].globals().get(variable.name)
        if nbytes is None or variable.offset > nbytes:
            words = f"Module {variable.module} has no such place in {variable.name[:120]}"
            raise PlanError(PlanFault.MODULE, words)
        left[variable.node, variable.part] = nbytes - variable.offset
    return left


def _check_memory(
    plan: LaunchPlan,
    arena: Sequence[Range],
    scratch_bytes: int,
    left: Mapping[tuple[int, Part], int],
) -> None:
    total = sum(region.nbytes for region in plan.regions)
    if total > scratch_bytes:
        words = f"The plan wants {total} bytes of scratch; {scratch_bytes} can be had"
        raise PlanError(PlanFault.MEMORY, words)
    for begin, end in arena:
        if begin < ARENA_BASE or end < begin:
            raise ValueError(f"The arena at {begin:#x} is not in the part for shared memory")
    allowed = [*arena, *((r.address, r.address + r.nbytes) for r in plan.regions)]
    for number, node in enumerate(plan.nodes):
        for part, (begin, end) in touched(node, plan).items():
            most = left.get((number, part))
            inside = any(a <= begin and end <= b for a, b in allowed)
            if not inside if most is None else end - begin > most:
                words = f"Node {number}, a {node.kind}, touches {begin:#x}, which is not the call's"
                raise PlanError(PlanFault.MEMORY, words)


def touched(node: PlanNode, plan: LaunchPlan) -> dict[Part, Range]:
    """The memory that a copy or memset reads and writes; what a kernel touches no one can say."""
    if isinstance(node, Memset):
        width = node.width * node.element_bytes
        return {"address": _rows(node.address, width, node.height, node.pitch)}
    if isinstance(node, DeviceCopy):
        width, height = node.width_bytes, node.height
        return {
            "source": _rows(node.source, width, height, node.source_pitch),
            "destination": _rows(node.destination, width, height, node.destination_pitch),
        }
    if isinstance(node, ConstantCopy):
        nbytes = plan.contents[node.content].nbytes
        return {"destination": _rows(node.destination, nbytes, 1, 0)}
    return {}


def _rows(address: int, width: int, height: int, pitch: int) -> Range:
    return address, address + (height - 1) * max(pitch, width) + width
