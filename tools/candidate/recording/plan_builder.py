"""Turns a captured graph into a `LaunchPlan`, or says why it cannot be replayed. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...driver.graphs import (
    AllocationNode,
    CapturedGraph,
    CopyNode,
    KernelNode,
    MemsetNode,
    Node,
    OtherNode,
)
from ...driver.modules import MAX_DYNAMIC_SHARED, NON_PORTABLE_CLUSTER, SHARED_CARVEOUT
from ...messages.launch_plan import (
    MOST_CONTENT_BYTES,
    Blob,
    ConstantCopy,
    DeviceCopy,
    Edge,
    GlobalImage,
    KernelLaunch,
    LaunchPlan,
    MemoryRegion,
    Memset,
    PlanNode,
    blob_of,
)
from .driver_memory import PlacedMemory, held_address, moved
from .replayable import NotReplayableError, check_addresses
from .variables import (
    ModuleVariable,
    without_variables,
)

DOES_NOTHING = (OtherNode, AllocationNode)
"""Nodes that need not be replayed: other ones that do something are refused."""
ELEMENTS: dict[int, Literal[1, 2, 4]] = {1: 1, 2: 2, 4: 4}


@dataclass(frozen=True)
class RegionContent:
    """Memory of the call: its content where it was there before the call, None where not."""

    address: int
    nbytes: int
    content: bytes | None


@dataclass(frozen=True)
class GlobalContent:
    """What a variable of a module holds, where it is not what the cubin says."""

    cubin: bytes
    name: str
    content: bytes


@dataclass(frozen=True)
class BuiltPlan:
    """A plan, and its blobs in the plan's order."""

    plan: LaunchPlan
    blobs: tuple[bytes, ...]


@dataclass
class _Blobs:
    """Blobs without repetition, by their bytes."""

    parts: dict[bytes, int] = field(default_factory=dict)

    def position(self, content: bytes) -> int:
        return self.parts.setdefault(content, len(self.parts))

    @property
    def described(self) -> list[Blob]:
        return [blob_of(part) for part in self.parts]


def build_plan(
    graph: CapturedGraph,
    cubins: Mapping[int, bytes],
    *,
    architecture: str,
    regions: Sequence[RegionContent],
    globals_of_modules: Sequence[GlobalContent],
    variables: Sequence[ModuleVariable],
    memory_type: Callable[[int], str | None],
    host_bytes: Callable[[int, int], bytes | None],
    places: Sequence[PlacedMemory] = (),
) -> BuiltPlan:
    """Makes the plan of one captured call.

    Args:
        graph: what was captured.
        cubins: the module of each function, by the function's handle.
        architecture: the device's, e.g. 'sm_90'.
        regions: scratch memory that was allocated before or in the call.
        globals_of_modules: variables that host code or an earlier call has written.
        variables: all variables of the modules, to which copies and memsets may go.
        memory_type: what the driver knows of an address; None for a number that is none.
        host_bytes: what host memory holds now; None where there is no such memory any more.
        places: of memory that the driver placed.

    Raises:
        NotReplayableError: when something of the call cannot be replayed.
    """
    moving = CapturedGraph(tuple(moved(node, places) for node in graph.nodes), graph.edges)
    ordered = in_order(without_empty(moving))
    regions = [*regions, *_driver_regions(regions, places)]
    for node in ordered.nodes:
        check_addresses(node, memory_type, variables)
    modules, contents = _Blobs(), _Blobs()
    nodes = [
        _constant_copy(node, host_bytes, contents)
        if isinstance(node, CopyNode) and node.source_memory == "host"
        else _plan_node(node, cubins, modules)
        for node in ordered.nodes
    ]
    _check_extent(nodes, regions)
    nodes, in_variables = without_variables(nodes, variables, modules.position)
    plan = LaunchPlan(
        architecture=architecture,
        nodes=nodes,
        edges=[Edge(before=a, after=b, programmatic=p) for a, b, p in ordered.edges],
        regions=[_region(region, contents) for region in regions],
        globals=[
            GlobalImage(
                module=modules.position(g.cubin), name=g.name, content=contents.position(g.content)
            )
            for g in globals_of_modules
        ],
        variables=in_variables,
        modules=modules.described,
        contents=contents.described,
    )
    return BuiltPlan(plan, (*modules.parts, *contents.parts))


def _driver_regions(
    regions: Sequence[RegionContent], places: Sequence[PlacedMemory]
) -> list[RegionContent]:
    """The regions of memory that the driver placed.

    Raises:
        NotReplayableError: when an address of it stands in memory, where it is not exchanged.
    """
    own = [RegionContent(p.address, p.memory.nbytes, p.memory.content) for p in places]
    for region in (*regions, *own):
        address = held_address(region.content or b"", places)
        if address is not None:
            raise NotReplayableError(
                f"memory of the call holds {address:#x}, an address that the driver chose"
            )
    return own


def _region(region: RegionContent, contents: _Blobs) -> MemoryRegion:
    content = None if region.content is None else contents.position(region.content)
    return MemoryRegion(address=region.address, nbytes=region.nbytes, content=content)


def _check_extent(nodes: Sequence[PlanNode], regions: Sequence[RegionContent]) -> None:
    if not nodes:
        raise NotReplayableError("the call launches nothing")
    carried = sum(len(r.content or b"") for r in regions)
    if carried > MOST_CONTENT_BYTES:
        raise NotReplayableError(
            f"{carried >> 20} MiB were allocated before the call; {MOST_CONTENT_BYTES >> 20} fit"
        )


def without_empty(graph: CapturedGraph) -> CapturedGraph:
    """The graph without nodes that do nothing: what they wait for, their successors wait for.

    Raises:
        NotReplayableError: for a node that is neither a kernel nor a memset nor a copy.
    """
    before: dict[int, dict[int, bool]] = {n: {} for n in range(len(graph.nodes))}
    for a, b, programmatic in graph.edges:
        before[b][a] = programmatic
    for number in in_topological_order(len(graph.nodes), graph.edges):
        if isinstance(node := graph.nodes[number], DOES_NOTHING):
            if isinstance(node, OtherNode) and node.words:
                raise NotReplayableError(f"the call holds {node.words}")
            for waiting in before.values():
                if number in waiting:
                    del waiting[number]
                    for earlier in before[number]:
                        waiting.setdefault(earlier, False)
    kept = [n for n, node in enumerate(graph.nodes) if not isinstance(node, DOES_NOTHING)]
    place = {n: i for i, n in enumerate(kept)}
    edges = [(place[a], place[b], p) for b in kept for a, p in sorted(before[b].items())]
    return CapturedGraph(tuple(graph.nodes[n] for n in kept), tuple(edges))


def in_order(graph: CapturedGraph) -> CapturedGraph:
    """The graph with every node after those that it waits for, else as it was."""
    order = in_topological_order(len(graph.nodes), graph.edges)
    place = {number: i for i, number in enumerate(order)}
    edges = sorted((place[a], place[b], p) for a, b, p in graph.edges)
    return CapturedGraph(tuple(graph.nodes[n] for n in order), tuple(edges))


def in_topological_order(count: int, edges: Sequence[tuple[int, int, bool]]) -> list[int]:
    """Positions of nodes, each after those that it waits for, the lowest first.

    Raises:
        NotReplayableError: when they wait for each other.
    """
    waiting = [0] * count
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b, _ in edges:
        waiting[b] += 1
        after[a].append(b)
    ready = [n for n in range(count) if not waiting[n]]
    order: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for later in after[number]:
            waiting[later] -= 1
            if not waiting[later]:
                heapq.heappush(ready, later)
    if len(order) != count:
        raise NotReplayableError("the captured launches wait for each other in a circle")
    return order


def _constant_copy(
    node: CopyNode, host_bytes: Callable[[int, int], bytes | None], contents: _Blobs
) -> ConstantCopy:
    """The copy with the bytes that it reads, in place of their address."""
    content = host_bytes(node.source, node.width_bytes)
    if content is None:
        raise NotReplayableError("a copy reads host memory that the call has given back")
    return ConstantCopy(destination=node.destination, content=contents.position(content))


def _plan_node(node: Node, cubins: Mapping[int, bytes], modules: _Blobs) -> PlanNode:
    if isinstance(node, KernelNode):
        return _kernel(node, modules.position(cubins[node.function]))
    if isinstance(node, MemsetNode):
        return Memset(
            address=node.address,
            value=node.value,
            element_bytes=ELEMENTS.get(node.element_bytes, 1),
            width=node.width,
            height=node.height,
            pitch=node.pitch if node.height > 1 else 0,
        )
    assert isinstance(node, CopyNode)
    return DeviceCopy(
        source=node.source,
        destination=node.destination,
        width_bytes=node.width_bytes,
        height=max(node.height, 1),
        source_pitch=node.source_pitch if node.height > 1 else 0,
        destination_pitch=node.destination_pitch if node.height > 1 else 0,
    )


def _kernel(node: KernelNode, module: int) -> KernelLaunch:
    attributes = dict(node.attributes)
    shape = node.shape
    return KernelLaunch(
        module=module,
        function=node.name,
        grid=shape.grid,
        block=shape.block,
        cluster=shape.cluster,
        cluster_policy=shape.cluster_policy,
        shared_bytes=shape.shared_bytes,
        cooperative=shape.cooperative,
        priority=shape.priority,
        max_shared_bytes=max(attributes.get(MAX_DYNAMIC_SHARED, 0), 0),
        shared_carveout=attributes.get(SHARED_CARVEOUT, -1),
        non_portable_cluster=bool(attributes.get(NON_PORTABLE_CLUSTER, 0)),
        parameters=node.parameters.hex(),
    )
