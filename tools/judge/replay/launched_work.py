"""What replays and ordinary calls launched, held against the plan. Pure.

In the process that recorded, an ordinary call launches the recorded kernels with the recorded grids
and blocks. Another process of the same program may choose others, where it chooses by measuring
them: but then it has launched those of the plan, too, to measure them.

The parameters of a candidate's kernels must be the recorded ones as well, addresses aside: one that
points into a tensor points to the same place of it in every call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ...messages.launch_plan import (
    POINTER_BYTES,
    RESERVATION_BASE,
    RESERVATION_BYTES,
    KernelLaunch,
    LaunchPlan,
    PlanNode,
)
from ...messages.launches import Activity, PassedParameters, WatchedLaunches
from ...messages.runner import ReplayTimes
from .decision import NotSealedError

SHOWN_NAME = 400
"""Of a kernel's name, in an activity."""
MOST_NAMES = 1_000
"""A process that tells so many has launched more."""
_Shape = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A kernel's name, grid and block."""
_OF_ONE_BUILD = re.compile(r"\d*(_GLOBAL__N__|_INTERNAL_)[0-9a-f]{8}_\d+_(\w+?)_[0-9a-f]{8}(_\d+)?")
"""What nvcc puts into the names of a file's own kernels differs from build to build."""


LEAST_ADDRESS, MOST_ADDRESS = 1 << 32, 1 << 57
SIMPLE_BYTES = 8
"""A larger parameter is a structure, which can have bytes that nobody sets."""
ADDRESS = b"address"
"""Stands for an address in memory of the program's own, which differs from call to call."""
TensorPlace = tuple[str, int, int]
"""A tensor's name, its first address, and the one after its last byte."""
_Word = bytes | tuple[str, int]
"""A part of a parameter: its bytes, or the tensor that it points into and how far in."""
_Values = tuple[tuple[_Word, ...], ...]
_Passed = tuple[str, tuple[int, ...], tuple[int, ...], _Values]
"""A kernel's name, grid, block and parameters."""


class OtherKernelsError(Exception):
    """Raised where ordinary calls launch other kernels than the recorded one; says which."""


@dataclass(frozen=True)
class WatchedCall:
    """What an ordinary call's kernels were launched with, and where its tensors lay."""

    watched: WatchedLaunches
    tensors: tuple[TensorPlace, ...]


@dataclass(frozen=True)
class OtherParameters:
    """How the parameters of ordinary calls differ from the plan's.

    Args:
        certain: whether the recorded call was another call; else it only cannot be said that it
            was the same one.
    """

    words: str
    certain: bool = False


def activities_of(
    plan: LaunchPlan, ordinary: Sequence[Activity], times: ReplayTimes
) -> list[Activity]:
    """What a replay did, named by the plan's nodes: both are in the order of launches.

    Args:
        ordinary: the activities of an ordinary call, for whose work each kernel is.

    Raises:
        NotSealedError: when it did more or less than the plan says; whose work it was, which the
            operator's policy on libraries asks, cannot be said then.
    """
    nodes, spans = plan.nodes, times.activities
    if times.span_ns is not None and len(nodes) != len(spans):
        raise NotSealedError(f"a replay of {len(nodes)} launches left {len(spans)} activities")
    origins = {activity.name: activity.origin for activity in ordinary}
    return [
        _activity(node, origins, start, end)
        for node, (start, end) in zip(nodes, spans, strict=False)
    ]


def other_launches(plan: LaunchPlan, ordinary: Sequence[Activity]) -> str | None:
    """How the kernels of an ordinary call differ from the plan's, in words; None if they agree."""
    planned = Counter[_Shape](
        (_shown_name(kernel), kernel.grid, kernel.block) for kernel in plan.kernels
    )
    called = Counter[_Shape]((a.name, tuple(a.grid), tuple(a.block)) for a in ordinary if a.grid)
    for more, less, words in ((called, planned, "more"), (planned, called, "fewer")):
        if extra := more - less:
            name, grid, _ = next(iter(extra))
            times = "time" if extra.total() == 1 else "times"
            return (
                f"plan differs: an ordinary call launches {name[:120]} with grid {list(grid)} "
                f"{extra.total()} {times} {words} often than the recorded one"
            )
    return None


def unseen_kernels(plan: LaunchPlan, seen: Collection[str]) -> str | None:
    """The kernel of a plan that a process never launched, in words; None if there is none.

    Args:
        seen: the names of all kernels that the process launched, in calls of every kind.
    """
    if len(seen) >= MOST_NAMES:
        return None
    known = {of_any_build(name) for name in seen}
    for kernel in plan.kernels:
        if of_any_build(_shown_name(kernel)) not in known:
            return (
                f"plan differs: the recorded call launches {kernel.function[:120]}, which no call "
                "launched where correctness was checked"
            )
    return None


def other_parameters(
    plan: LaunchPlan,
    tensors: Sequence[TensorPlace],
    calls: Sequence[WatchedCall],
    origins: Mapping[str, str],
) -> OtherParameters | None:
    """How what ordinary calls pass to the candidate's kernels differs from the plan; None if not.

    Args:
        tensors: where those of the recorded call lay.
        calls: two or more, one after another: what differs between them is the host's own.
        origins: whose work the kernels of an ordinary call are, by name.
    """
    layouts: dict[str, list[tuple[int, int]]] = {}
    for call in calls:
        if call.watched.dropped_for:
            words = f"what ordinary calls launch is not known: {call.watched.dropped_for[:200]}"
            return OtherParameters(words)
        layouts |= {one.kernel: one.layout for one in call.watched.launches}
    own, theirs = _planned(plan, tensors, layouts, origins)
    found = [_called(call, theirs) for call in calls]
    if any(one != found[0] for one in found):
        name = next(iter(found[0] - found[1] or found[1] - found[0]))[0]
        return OtherParameters(f"parameters of {name[:120]} differ from call to call")
    if (more := own - found[0]) or found[0] - own:
        return _difference(more, found[0] - own, origins)
    return None


def _planned(
    plan: LaunchPlan,
    tensors: Sequence[TensorPlace],
    layouts: Mapping[str, Sequence[tuple[int, int]]],
    origins: Mapping[str, str],
) -> tuple[Counter[_Passed], set[tuple[str, int]]]:
    """The plan's launches of kernels that are no library's, and which of their words are addresses.

    The latter by kernel and byte, for words that point neither into a tensor nor nowhere.
    """
    places = {(v.node, v.at) for v in plan.variables if v.part == "parameter"}
    launches: Counter[_Passed] = Counter()
    addresses: set[tuple[str, int]] = set()
    for number, node in enumerate(plan.nodes):
        name = _shown_name(node) if isinstance(node, KernelLaunch) else ""
        if not isinstance(node, KernelLaunch) or origins.get(name, "unknown") not in (
            "candidate",
            "unknown",
        ):
            continue
        variables = {at for n, at in places if n == number}
        values = _values(node.parameter_bytes, layouts.get(name, ()), tensors, variables)
        launches[name, node.grid, node.block, values] += 1
        addresses |= {
            (name, at) for at, word in _words(values, layouts.get(name, ())) if word == ADDRESS
        }
    return launches, addresses


def _called(call: WatchedCall, addresses: Collection[tuple[str, int]]) -> Counter[_Passed]:
    found: Counter[_Passed] = Counter()
    for one in call.watched.launches:
        own = {at for name, at in addresses if name == one.kernel and _is_address(one, at)}
        values = _values(bytes.fromhex(one.parameters), one.layout, call.tensors, own)
        found[one.kernel, tuple(one.grid), tuple(one.block), values] += 1
    return found


def _is_address(launch: PassedParameters, at: int) -> bool:
    word = bytes.fromhex(launch.parameters)[at : at + POINTER_BYTES]
    return LEAST_ADDRESS <= int.from_bytes(word, "little") < MOST_ADDRESS


def _values(
    data: bytes,
    layout: Sequence[tuple[int, int]],
    tensors: Sequence[TensorPlace],
    addresses: Collection[int],
) -> _Values:
    """Each parameter in words, with the place of a tensor for every address in one.

    Args:
        addresses: bytes of the buffer at which an address is known to stand.
    """
    values: list[tuple[_Word, ...]] = []
    for offset, size in layout:
        words: list[_Word] = []
        for at in range(offset, offset + size, POINTER_BYTES):
            part = data[at : min(at + POINTER_BYTES, offset + size)]
            word = _in_tensor(part, tensors)
            words.append(ADDRESS if isinstance(word, bytes) and at in addresses else word)
        values.append(tuple(words))
    return tuple(values)


def _in_tensor(part: bytes, tensors: Sequence[TensorPlace]) -> _Word:
    """The word as the place of a tensor that it points to, as an address, or as it is."""
    value = int.from_bytes(part, "little")
    if len(part) < POINTER_BYTES or not 0 <= value - RESERVATION_BASE < RESERVATION_BYTES:
        return part
    inside = ((name, value - begin) for name, begin, end in tensors if begin <= value <= end)
    return next(inside, ADDRESS)


def _words(values: _Values, layout: Sequence[tuple[int, int]]) -> list[tuple[int, _Word]]:
    return [
        (offset + number * POINTER_BYTES, word)
        for (offset, _), words in zip(layout, values, strict=True)
        for number, word in enumerate(words)
    ]


def _difference(
    planned: Counter[_Passed], called: Counter[_Passed], origins: Mapping[str, str]
) -> OtherParameters:
    """The first parameter that differs, in words."""
    for mine in planned:
        for theirs in called:
            if mine[:3] == theirs[:3] and len(mine[3]) == len(theirs[3]):
                differ = [
                    n
                    for n, pair in enumerate(zip(mine[3], theirs[3], strict=True))
                    if pair[0] != pair[1]
                ]
                number = min(differ, key=lambda n: len(mine[3][n]))
                words = (
                    f"plan differs: parameter {number} of {mine[0][:120]} is "
                    f"{_said(mine[3][number])} in the recorded call and "
                    f"{_said(theirs[3][number])} in ordinary ones"
                )
                simple = len(mine[3][number]) * POINTER_BYTES <= SIMPLE_BYTES
                return OtherParameters(words, simple and origins.get(mine[0]) == "candidate")
    name = next(iter(planned or called))[0]
    return OtherParameters(f"what ordinary calls pass to {name[:120]} was not seen")


def _said(value: tuple[_Word, ...]) -> str:
    if len(value) != 1:
        return f"a structure of {len(value)} words"
    word = value[0]
    if isinstance(word, tuple):
        return f"byte {word[1]} of {word[0].partition(':')[2]}"
    return "an address" if word == ADDRESS else f"{int.from_bytes(word, 'little'):#x}"


def of_any_build(name: str) -> str:
    """A kernel's name without what differs from build to build."""
    return _OF_ONE_BUILD.sub(r"\1\2", name)


def _activity(node: PlanNode, origins: Mapping[str, str], start: int, end: int) -> Activity:
    if not isinstance(node, KernelLaunch):
        return Activity(name=node.kind, start_ns=start, end_ns=end, origin="copy")
    name = _shown_name(node)
    origin = origins.get(name, "unknown")
    return Activity(name=name, start_ns=start, end_ns=end, origin=origin)


def _shown_name(kernel: KernelLaunch) -> str:
    """The name as an activity of the process that recorded has it."""
    return kernel.function[:SHOWN_NAME]
