"""The time of a profiled program by operator: pure.

An operator is the largest region that calls no module: a module without modules in it, or a
function of a module with some. What such a module does itself, between its parts, is told by
torch's own operators. So every microsecond belongs to one operator. Modules that call modules are
told apart from that, as blocks, with all that is in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MARK = "kernel_harness:"
"""Begins the names of ranges that stand for regions, before the numbers of region and shapes."""
GATHERING = ("aten::embedding", "aten::index", "aten::index_select", "aten::gather")
"""Operators that read only a part of a tensor."""


@dataclass(frozen=True)
class ProfiledEvent:
    """A range of the profiler's: a region, or an operator of torch's.

    Args:
        parent: the position of the range that it is in; None for the outermost.
        host_us: of itself, without those in it.
        device_us: of the kernels that it launched itself; None without a GPU.
        launches: how many those are.
        flops: as torch counts them of matrix products and convolutions.
    """

    name: str
    parent: int | None
    host_us: float
    device_us: float | None = None
    launches: int = 0
    flops: int = 0
    shapes: str = ""

    @property
    def region(self) -> tuple[int, int] | None:
        """The numbers of the region and of its shapes that it stands for."""
        if not self.name.startswith(MARK):
            return None
        number, _, shapes = self.name.removeprefix(MARK).partition(".")
        return int(number), int(shapes)

    @property
    def time_us(self) -> float:
        """Of the device; without one of the host, where torch itself was at work."""
        if self.device_us is not None:
            return self.device_us
        return 0.0 if self.name.startswith(MARK) else self.host_us


@dataclass
class OperatorTime:
    """Time and work of calls alike."""

    calls: int = 0
    time_us: float = 0.0
    host_us: float = 0.0
    launches: int = 0
    flops: int = 0
    gathers: bool = False

    def add(self, event: ProfiledEvent) -> None:
        """Adds what an event did itself."""
        self.time_us += event.time_us
        self.host_us += event.host_us
        self.launches += event.launches
        self.flops += event.flops
        self.gathers |= event.name in GATHERING


Key = tuple[int, int]


@dataclass
class Attribution:
    """Time by operator.

    Attributes:
        regions: operators that are regions, by region and shapes.
        blocks: modules that call modules, with all in them.
        others: torch's operators that no operator's region holds, by the enclosing region's number
            (None: outside of all), name and shapes.
    """

    regions: dict[Key, OperatorTime] = field(default_factory=dict[Key, OperatorTime])
    blocks: dict[Key, OperatorTime] = field(default_factory=dict[Key, OperatorTime])
    others: dict[tuple[int | None, str, str], OperatorTime] = field(
        default_factory=dict[tuple[int | None, str, str], OperatorTime]
    )


def attribute(events: Sequence[ProfiledEvent], is_module: Mapping[int, bool]) -> Attribution:
    """Gives every event's own time to one operator, and to the blocks that it is in.

    Args:
        events: parents before children.
        is_module: by region.
    """
    holds_region, holds_module = _contents(events, is_module)
    # Without modules below the outermost region, the regions that call none are the operators.
    functional = not any(
        is_module[event.region[0]]
        for event in events
        if event.region is not None and event.parent is not None
    )
    found = Attribution()
    places: list[_Place] = []
    for position, event in enumerate(events):
        above = places[event.parent] if event.parent is not None else _Place()
        place = above
        if event.region is not None:
            holds = holds_region if functional or not above.around else holds_module
            operator = above.operator
            if operator is None and not holds[position]:
                operator = event.region
                found.regions.setdefault(operator, OperatorTime()).calls += 1
            elif operator is None:
                found.blocks.setdefault(event.region, OperatorTime()).calls += 1
            place = _Place(operator, (*above.around, event.region), None)
        elif above.call is None:
            place = _Place(above.operator, above.around, position)
        places.append(place)
        _add(found, events, position, place)
    return found


@dataclass(frozen=True)
class _Place:
    """The operator that an event is in, the regions around it, and the outermost call of torch."""

    operator: Key | None = None
    around: tuple[Key, ...] = ()
    call: int | None = None


def _add(found: Attribution, events: Sequence[ProfiledEvent], position: int, place: _Place) -> None:
    event = events[position]
    if place.operator is not None:
        found.regions[place.operator].add(event)
    elif place.call is not None:
        call = events[place.call]
        key = (place.around[-1][0] if place.around else None, call.name, call.shapes)
        spent = found.others.setdefault(key, OperatorTime())
        spent.calls += place.call == position
        spent.add(event)
    for region in set(place.around):
        if region in found.blocks:
            found.blocks[region].add(event)


def _contents(
    events: Sequence[ProfiledEvent], is_module: Mapping[int, bool]
) -> tuple[list[bool], list[bool]]:
    """Of each event, whether a region lies within it, and whether a module's does."""
    regions, modules = [False] * len(events), [False] * len(events)
    for position in range(len(events) - 1, -1, -1):
        event = events[position]
        if event.parent is not None:
            region = event.region
            regions[event.parent] |= regions[position] or region is not None
            modules[event.parent] |= modules[position] or (
                region is not None and is_module[region[0]]
            )
    return regions, modules
