"""What replays and ordinary calls launched, held against the plan. Pure.

In the process that recorded, an ordinary call launches the recorded kernels with the recorded grids
and blocks. Another process of the same program may choose others, where it chooses by measuring
them: but then it has launched those of the plan, too, to measure them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ...messages.candidate import Activity
from ...messages.launch_plan import KernelLaunch, LaunchPlan, PlanNode
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


class OtherKernelsError(Exception):
    """Raised where ordinary calls launch other kernels than the recorded one; says which."""


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
