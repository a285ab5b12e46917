"""What replays and ordinary calls launched, held against the plan. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ...messages.candidate import Activity
from ...messages.launch_plan import KernelLaunch, LaunchPlan, PlanNode
from ...messages.runner import ReplayTimes
from .decision import NotSealedError

SHOWN_NAME = 400
_Shape = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A kernel's name, grid and block."""


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


def other_kernels(plan: LaunchPlan, ordinary: Sequence[Activity]) -> str | None:
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


def _activity(node: PlanNode, origins: Mapping[str, str], start: int, end: int) -> Activity:
    if not isinstance(node, KernelLaunch):
        return Activity(name=node.kind, start_ns=start, end_ns=end, origin="copy")
    name = _shown_name(node)
    origin = origins.get(name, "unknown")
    return Activity(name=name, start_ns=start, end_ns=end, origin=origin)


def _shown_name(kernel: KernelLaunch) -> str:
    """The name as an activity of the process that recorded has it."""
    return kernel.function[:SHOWN_NAME]
