"""A captured graph is read into plain data, parameters packed however they were given."""

import ctypes
from ctypes import c_size_t, c_void_p
from typing import Any

from kernel_harness.tools.driver import graphs, modules
from kernel_harness.tools.driver.graphs import (
    AllocationNode,
    CopyNode,
    KernelNode,
    MemsetNode,
    OtherNode,
)
from kernel_harness.tools.driver.library import INVALID_VALUE, DriverError
from kernel_harness.tools.driver.structures import (
    Copy3D,
    KernelNodeParams,
    MemAllocNodeParams,
    MemsetNodeParams,
)

from .fakes import FakeDriver, give

LAYOUT = [(0, 8), (8, 4), (16, 8)]
PACKED = (0x100000000000).to_bytes(8, "little") + (7).to_bytes(4, "little") + b"\0" * 4 + b"x" * 8


class GraphDriver(FakeDriver):
    """A graph of a kernel, a memset, a copy and a host function, in a chain."""

    kinds: tuple[int, ...] = (graphs.KERNEL, graphs.MEMSET, graphs.COPY, 3)
    packed = False

    def _cuGraphGetNodes(self, _graph: Any, nodes: Any, count: Any) -> None:
        give(count, len(self.kinds))
        if nodes is None:
            return
        for i in range(len(self.kinds)):
            nodes[i] = i + 1

    def _cuGraphGetEdges_v2(self, _graph: Any, before: Any, after: Any, data: Any, count: Any):
        give(count, len(self.kinds) - 1)
        if before is None:
            return
        for i in range(len(self.kinds) - 1):
            before[i], after[i], data[i].type = i + 1, i + 2, int(i == 0)

    def _cuGraphNodeGetType(self, node: Any, kind: Any) -> None:
        give(kind, self.kinds[node.value - 1])

    def _cuGraphKernelNodeGetParams_v2(self, _node: Any, target: Any) -> None:
        raw: KernelNodeParams = target._obj
        raw.function, raw.shared_bytes = 0x55, 1024
        raw.grid[:], raw.block[:] = (4, 2, 1), (128, 1, 1)
        self.buffer = ctypes.create_string_buffer(PACKED, len(PACKED))
        begin = ctypes.addressof(self.buffer)
        if self.packed:
            self.size = c_size_t(len(PACKED))
            self.extra = (c_void_p * 5)(1, begin, 2, ctypes.addressof(self.size), 0)
            raw.extra = self.extra
        else:
            self.pointers = (c_void_p * 3)(*(begin + offset for offset, _ in LAYOUT))
            raw.parameters = self.pointers

    def _cuFuncGetParamInfo(self, _function: Any, index: Any, offset: Any, size: Any) -> None:
        if index.value >= len(LAYOUT):
            raise DriverError("cuFuncGetParamInfo", INVALID_VALUE)
        give(offset, LAYOUT[index.value][0])
        give(size, LAYOUT[index.value][1])

    def _cuFuncGetName(self, name: Any, _function: Any) -> None:
        name._obj.value = b"step"

    def _cuGraphKernelNodeGetAttribute(self, _node: Any, number: Any, value: Any) -> None:
        if number.value == modules.CLUSTER:
            value._obj.extent[:] = (2, 1, 1)
        if number.value == modules.COOPERATIVE:
            value._obj.number = 1

    def _cuGraphMemAllocNodeGetParams(self, _node: Any, target: Any) -> None:
        raw: MemAllocNodeParams = target._obj
        raw.address, raw.nbytes = 0x500, 640

    def _cuGraphMemsetNodeGetParams(self, _node: Any, target: Any) -> None:
        raw: MemsetNodeParams = target._obj
        raw.destination, raw.element_bytes, raw.width, raw.height = 0x200, 4, 16, 1

    def _cuGraphMemcpyNodeGetParams(self, _node: Any, target: Any) -> None:
        raw: Copy3D = target._obj
        raw.source.memory_type, raw.source.host = 1, 0x300
        raw.destination.memory_type, raw.destination.device = 2, 0x400
        raw.destination.y, raw.destination.pitch, raw.destination.x_bytes = 2, 64, 8
        raw.width_bytes, raw.height, raw.depth = 32, 1, 1


def test_every_kind_of_node_becomes_data():
    read = graphs.read_graph(GraphDriver(), 0x1)
    kernel, memset, copy, host = read.nodes
    assert isinstance(kernel, KernelNode) and kernel.name == "step"
    assert kernel.shape.grid == (4, 2, 1) and kernel.shape.cluster == (2, 1, 1)
    assert kernel.shape.cooperative and kernel.shape.shared_bytes == 1024
    assert kernel.parameters == PACKED and kernel.layout == tuple(LAYOUT)
    assert memset == MemsetNode(0x200, 0, 4, 16, 1, 0)
    assert isinstance(copy, CopyNode)
    assert (copy.source, copy.source_memory) == (0x300, "host")
    assert (copy.destination, copy.destination_memory) == (0x400 + 2 * 64 + 8, "device")
    assert host == OtherNode("a host function")
    assert read.edges == ((0, 1, True), (1, 2, False), (2, 3, False))


def test_memory_that_a_call_allocates_is_told_and_its_end_does_nothing():
    driver = GraphDriver()
    driver.kinds = (graphs.ALLOCATION, graphs.DEALLOCATION)
    assert graphs.read_graph(driver, 0x1).nodes == (AllocationNode(0x500, 640), OtherNode(""))


def test_a_packed_buffer_gives_the_same_parameters():
    driver = GraphDriver()
    driver.packed = True
    kernel = graphs.read_graph(driver, 0x1).nodes[0]
    assert isinstance(kernel, KernelNode) and kernel.parameters == PACKED
