"""The nodes and edges of a captured graph, read through the driver into plain data."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int, c_size_t, c_uint, c_void_p
from dataclasses import dataclass

from . import modules
from .library import Driver
from .structures import (
    Copy3D,
    CopySide,
    GraphEdgeData,
    KernelNodeParams,
    LaunchValue,
    MemAllocNodeParams,
    MemsetNodeParams,
)

KERNEL, COPY, MEMSET, EMPTY, ALLOCATION, DEALLOCATION = 0, 1, 2, 5, 10, 11
OTHER_NODES = {
    3: "a host function",
    4: "a graph inside a graph",
    6: "a wait for an event outside the call",
    7: "an event recorded for outside the call",
    8: "an external semaphore",
    9: "an external semaphore",
    12: "a wait or write of a memory word",
    13: "a conditional node",
}
PROGRAMMATIC_EDGE = 1
ON_HOST = 1
MEMORY = {ON_HOST: "host", 2: "device", 3: "array", 4: "unified"}


@dataclass(frozen=True)
class KernelNode:
    """A kernel launch as it was captured.

    Args:
        function: the handle of its function.
        parameters: the packed parameter buffer; `layout` has each parameter's offset and size.
        attributes: of `modules.FUNCTION_ATTRIBUTES`, their values.
    """

    function: int
    module: int
    name: str
    shape: modules.LaunchShape
    parameters: bytes
    layout: tuple[tuple[int, int], ...]
    attributes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class MemsetNode:
    """A memset: `width` elements a row, `pitch` bytes from row to row."""

    address: int
    value: int
    element_bytes: int
    width: int
    height: int
    pitch: int


@dataclass(frozen=True)
class CopyNode:
    """A copy of `height` rows of `width_bytes`, between kinds of memory."""

    source: int
    source_memory: str
    source_pitch: int
    destination: int
    destination_memory: str
    destination_pitch: int
    width_bytes: int
    height: int
    depth: int


@dataclass(frozen=True)
class AllocationNode:
    """Memory that the call allocates in the stream's order; where it lies is known beforehand."""

    address: int
    nbytes: int


@dataclass(frozen=True)
class OtherNode:
    """What cannot be replayed as data, in words; empty for a node that does nothing."""

    words: str


Node = KernelNode | MemsetNode | CopyNode | AllocationNode | OtherNode


@dataclass(frozen=True)
class CapturedGraph:
    """Nodes, and edges between their positions: (before, after, whether programmatic)."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int, bool], ...]


def read_graph(driver: Driver, graph: int) -> CapturedGraph:
    """Reads a `CUgraph`, which is left as it is."""
    handles = _handles(driver, graph)
    position = {handle: number for number, handle in enumerate(handles)}
    edges = tuple(
        (position[a], position[b], programmatic) for a, b, programmatic in _edges(driver, graph)
    )
    return CapturedGraph(tuple(_node(driver, handle) for handle in handles), edges)


def _handles(driver: Driver, graph: int) -> list[int]:
    count = c_size_t()
    driver.call("cuGraphGetNodes", c_void_p(graph), None, byref(count))
    if not count.value:
        return []
    found = (c_void_p * count.value)()
    driver.call("cuGraphGetNodes", c_void_p(graph), found, byref(count))
    return [handle or 0 for handle in found]


def _edges(driver: Driver, graph: int) -> list[tuple[int, int, bool]]:
    count = c_size_t()
    driver.call("cuGraphGetEdges_v2", c_void_p(graph), None, None, None, byref(count))
    if not count.value:
        return []
    before, after = (c_void_p * count.value)(), (c_void_p * count.value)()
    data = (GraphEdgeData * count.value)()
    driver.call("cuGraphGetEdges_v2", c_void_p(graph), before, after, data, byref(count))
    return [
        (before[i] or 0, after[i] or 0, data[i].type == PROGRAMMATIC_EDGE)
        for i in range(count.value)
    ]


def _node(driver: Driver, handle: int) -> Node:
    kind = c_int()
    driver.call("cuGraphNodeGetType", c_void_p(handle), byref(kind))
    if kind.value == KERNEL:
        return _kernel(driver, handle)
    if kind.value == MEMSET:
        return _memset(driver, handle)
    if kind.value == COPY:
        return _copy(driver, handle)
    if kind.value == ALLOCATION:
        raw = MemAllocNodeParams()
        driver.call("cuGraphMemAllocNodeGetParams", c_void_p(handle), byref(raw))
        return AllocationNode(raw.address, raw.nbytes)
    if kind.value in (EMPTY, DEALLOCATION):
        return OtherNode("")
    return OtherNode(OTHER_NODES.get(kind.value, f"a graph node of type {kind.value}"))


def _kernel(driver: Driver, handle: int) -> KernelNode:
    raw = KernelNodeParams()
    driver.call("cuGraphKernelNodeGetParams_v2", c_void_p(handle), byref(raw))
    function = raw.function or 0
    if not function:
        found = c_void_p()
        driver.call("cuKernelGetFunction", byref(found), c_void_p(raw.kernel))
        function = found.value or 0
    layout = tuple(modules.parameter_layout(driver, function))
    cluster = tuple(_attribute(driver, handle, modules.CLUSTER).extent)
    return KernelNode(
        function=function,
        module=modules.module_of(driver, function),
        name=modules.name_of(driver, function),
        shape=modules.LaunchShape(
            grid=_three(raw.grid),
            block=_three(raw.block),
            shared_bytes=raw.shared_bytes,
            cluster=_three(cluster) if any(n > 1 for n in cluster) else None,
            cluster_policy=_attribute(driver, handle, modules.CLUSTER_POLICY).number,
            cooperative=bool(_attribute(driver, handle, modules.COOPERATIVE).number),
            priority=_attribute(driver, handle, modules.PRIORITY).number,
        ),
        parameters=modules.packed_parameters(raw.parameters, raw.extra, layout),
        layout=layout,
        attributes=tuple(
            (number, modules.attribute(driver, function, number))
            for number in modules.FUNCTION_ATTRIBUTES
        ),
    )


def _attribute(driver: Driver, handle: int, number: int) -> LaunchValue:
    value = LaunchValue()
    driver.call("cuGraphKernelNodeGetAttribute", c_void_p(handle), c_int(number), byref(value))
    return value


def _three(values: tuple[int, ...] | ctypes.Array[c_uint]) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])


def _memset(driver: Driver, handle: int) -> MemsetNode:
    raw = MemsetNodeParams()
    driver.call("cuGraphMemsetNodeGetParams", c_void_p(handle), byref(raw))
    return MemsetNode(
        raw.destination, raw.value, raw.element_bytes, raw.width, raw.height, raw.pitch
    )


def _copy(driver: Driver, handle: int) -> CopyNode:
    raw = Copy3D()
    driver.call("cuGraphMemcpyNodeGetParams", c_void_p(handle), byref(raw))
    source, destination = raw.source, raw.destination
    return CopyNode(
        source=_address(source),
        source_memory=MEMORY.get(source.memory_type, "unknown"),
        source_pitch=source.pitch,
        destination=_address(destination),
        destination_memory=MEMORY.get(destination.memory_type, "unknown"),
        destination_pitch=destination.pitch,
        width_bytes=raw.width_bytes,
        height=raw.height,
        depth=raw.depth,
    )


def _address(side: CopySide) -> int:
    """Where a side of a copy begins; addresses of unified memory stand in the device's field."""
    base = (side.host if side.memory_type == ON_HOST else side.device) or 0
    return base + side.y * side.pitch + side.x_bytes
