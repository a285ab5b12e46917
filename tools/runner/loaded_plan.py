"""A plan turned into prepared launches, and the images that are restored before each replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import (
    byref,
    c_size_t,
    c_ubyte,
    c_uint,
    c_uint64,
    c_ushort,
    c_void_p,
    create_string_buffer,
)
from dataclasses import dataclass
from typing import Any

from ..driver import modules
from ..driver.cubin import Cubin, read_cubin
from ..driver.library import (
    Driver,
    allocate,
    copy,
    copy_from_host,
    copy_to_device,
    fill,
    new_event,
    new_stream,
    record_event,
    wait_event,
)
from ..driver.module_variables import Stretch, VariablePlace, places_of, read_stretches
from ..driver.modules import LaunchShape, PreparedLaunch
from ..driver.structures import Copy3D
from ..errors import InfrastructureError
from ..messages.launch_plan import (
    MOST_VARIABLE_BYTES,
    ConstantCopy,
    DeviceCopy,
    KernelLaunch,
    LaunchPlan,
    Memset,
    PlanNode,
    with_address,
)
from .device_kernels import MOST_LOCAL_BYTES
from .memory import Range
from .rotation import moved_node
from .streams import Placed, ends, place

DEVICE_MEMORY = 2
Enqueue = Callable[[], None]
_Variables = dict[tuple[int, str], VariablePlace]
"""By module and name."""


@dataclass(frozen=True)
class _Image:
    """Bytes that are copied from a place of ours to where the plan wants them."""

    source: int
    destination: int
    nbytes: int


class LoadedPlan:
    """A plan in this context, ready to be enqueued.

    Args:
        driver: libcuda.
        plan: what to replay.
        blobs: modules and contents, in the plan's order.
        stream: the stream that every replay begins and ends on.
        scratch: memory that was mapped for the plan, poisoned before each replay.
    """

    def __init__(
        self,
        driver: Driver,
        plan: LaunchPlan,
        blobs: Sequence[bytes],
        stream: int,
        scratch: Sequence[Range],
    ) -> None:
        self._driver, self._stream, self._scratch = driver, stream, scratch
        code = blobs[: len(plan.modules)]
        self._modules = [modules.load(driver, cubin) for cubin in code]
        cubins = [read_cubin(cubin) for cubin in code]
        self._functions: dict[tuple[int, str], int] = {}
        self._constants = {
            node.content: blobs[len(plan.modules) + node.content]
            for node in plan.nodes
            if isinstance(node, ConstantCopy)
        }
        variables = self._variables(cubins)
        placed = place(len(plan.nodes), plan.edges)
        self._nodes, self._placed = _located(plan, variables), placed
        self._streams = [stream]
        while len(self._streams) <= max(p.stream for p in placed):
            self._streams.append(new_stream(driver))
        self._events = {n: new_event(driver, timed=False) for n in _recorded(placed)}
        self._begin = new_event(driver, timed=False) if len(self._streams) > 1 else 0
        self._steps = self._made(self._nodes)
        self.local_bytes = max(
            (modules.attribute(driver, f, modules.LOCAL_BYTES) for f in self._functions.values()),
            default=0,
        )
        """The most local memory that a thread of its kernels has."""
        self.kept = self._kept_memory(cubins)
        """In words, what its kernels can keep from one replay to the next; empty for nothing."""
        self.holdable = not self._constants
        """Whether its launches can be held back: a copy from host memory may wait for them."""
        self._images = self._kept(plan, variables, blobs[len(plan.modules) :])
        copies = (node for node in plan.nodes if isinstance(node, DeviceCopy))
        self.copied_bytes = {node.width_bytes * node.height for node in copies}
        self.copied_bytes |= {image.nbytes for image in self._images}
        self.copied_bytes |= {len(content) for content in self._constants.values()}
        """The sizes of all copies that a replay or what restores its memory makes."""
        self.rehearsed = False
        """Whether it has run: a first launch may have to wait for the device to load its code."""

    @property
    def scratch(self) -> list[tuple[int, int]]:
        """Address and bytes of the memory that was mapped for the plan."""
        return [(begin, end - begin) for begin, end in self._scratch]

    @property
    def count(self) -> int:
        """How many nodes a replay enqueues."""
        return len(self._steps)

    def restore(self, byte: int) -> None:
        """Poisons the scratch and brings back what it and the modules' variables held."""
        for begin, end in self._scratch:
            fill(self._driver, begin, byte, end - begin, self._stream)
        for image in self._images:
            copy(self._driver, image.destination, image.source, image.nbytes, self._stream)

    def enqueue(self) -> None:
        """Enqueues one replay; all of its streams begin after, and join, the first."""
        for step in self._steps:
            step()

    def moved(self, begin: int, end: int, offset: int) -> tuple[list[Enqueue], int]:
        """The same launches on other tensors: addresses from `begin` to `end` lie `offset` further.

        Returns what enqueues them in order, and how many addresses were changed.
        """
        found = [moved_node(node, begin, end, offset) for node in self._nodes]
        return self._made([node for node, _ in found]), sum(count for _, count in found)

    def close(self) -> None:
        """Unloads the modules and gives back what was made for the plan; the device is at rest."""
        call = self._driver.call
        for module in self._modules:
            call("cuModuleUnload", c_void_p(module))
        for source in {image.source for image in self._images}:
            call("cuMemFree_v2", c_uint64(source))
        for event in filter(None, (*self._events.values(), self._begin)):
            call("cuEventDestroy_v2", c_void_p(event))
        for stream in self._streams[1:]:
            call("cuStreamDestroy_v2", c_void_p(stream))

    def _made(self, nodes: Sequence[PlanNode]) -> list[Enqueue]:
        driver, first = self._driver, self._streams[0]
        steps: list[Enqueue] = []
        begun = {0}
        if self._begin:
            steps.append(lambda: record_event(driver, self._begin, first))
        for number, (node, where) in enumerate(zip(nodes, self._placed, strict=True)):
            stream = self._streams[where.stream]
            before = [self._events[earlier] for earlier in where.waits]
            if where.stream not in begun:
                begun.add(where.stream)
                before.append(self._begin)
            steps += [_bound(wait_event, driver, stream, event) for event in before]
            steps.append(self._step(node, stream, where))
            if number in self._events:
                steps.append(_bound(record_event, driver, self._events[number], stream))
        for last in ends(self._placed).values():
            steps.append(_bound(wait_event, driver, first, self._events[last]))
        return steps

    def _step(self, node: PlanNode, stream: int, where: Placed) -> Enqueue:
        if isinstance(node, KernelLaunch):
            shape = LaunchShape(
                grid=node.grid,
                block=node.block,
                shared_bytes=node.shared_bytes,
                cluster=node.cluster,
                cluster_policy=node.cluster_policy,
                cooperative=node.cooperative,
                programmatic=where.programmatic,
                priority=node.priority,
            )
            function = self._function(node)
            prepared = PreparedLaunch(function, shape, node.parameter_bytes, stream)
            return _bound(prepared.launch, self._driver)
        if isinstance(node, Memset):
            return _bound(_memset, self._driver, node, stream)
        if isinstance(node, ConstantCopy):
            content = self._constants[node.content]
            host = create_string_buffer(content, len(content))
            return _bound(
                copy_from_host, self._driver, node.destination, host, len(content), stream
            )
        return _bound(_copy, self._driver, _copy_parameters(node), stream)

    def _function(self, node: KernelLaunch) -> int:
        key = (node.module, node.function)
        if key not in self._functions:
            found = modules.function_of(self._driver, self._modules[node.module], node.function)
            if found is None:
                raise InfrastructureError(f"Module {node.module} has no {node.function[:200]}")
            self._functions[key] = found
        function = self._functions[key]
        for number, value in (
            (modules.MAX_DYNAMIC_SHARED, max(node.max_shared_bytes, node.shared_bytes)),
            (modules.SHARED_CARVEOUT, node.shared_carveout),
            (modules.NON_PORTABLE_CLUSTER, int(node.non_portable_cluster)),
        ):
            if value > 0 and modules.attribute(self._driver, function, number) != value:
                modules.set_attribute(self._driver, function, number, value)
        return function

    def _kept_memory(self, cubins: Sequence[Cubin]) -> str:
        if self.local_bytes > MOST_LOCAL_BYTES:
            return (
                f"a kernel has {self.local_bytes} bytes of local memory a thread; "
                f"{MOST_LOCAL_BYTES} are overwritten between replays"
            )
        if any("malloc" in cubin.system_calls() for cubin in cubins):
            return "a kernel calls malloc, whose heap outlives a replay"
        return ""

    def _kept(
        self, plan: LaunchPlan, variables: _Variables, contents: Sequence[bytes]
    ) -> list[_Image]:
        """Copies the contents into memory at addresses that the plan does not know.

        All variables of the modules are among them, as they are now, just loaded: what a replay
        leaves in them goes.
        """
        images = [(r.address, contents[r.content]) for r in plan.regions if r.content is not None]
        stretches: list[Stretch] = []
        for number in range(len(plan.modules)):
            places = [place for (module, _), place in variables.items() if module == number]
            stretches += read_stretches(self._driver, places)
        for image in plan.globals:
            place_of = variables.get((image.module, image.name))
            content = contents[image.content]
            if place_of is None or place_of.nbytes != len(content):
                raise InfrastructureError(f"Variable {image.name[:200]} is not in its module")
            number = next(n for n, one in enumerate(stretches) if one.holds(place_of))
            stretches[number] = stretches[number].with_bytes(place_of, content)
        images += [(stretch.address, stretch.content) for stretch in stretches]
        sources: dict[bytes, int] = {}
        for _, content in images:
            if content not in sources:
                sources[content] = self._upload(content)
        return [_Image(sources[content], address, len(content)) for address, content in images]

    def _variables(self, cubins: Sequence[Cubin]) -> _Variables:
        """Every variable of the modules."""
        found: _Variables = {}
        for number, cubin in enumerate(cubins):
            sizes = cubin.globals()
            if sum(sizes.values()) > MOST_VARIABLE_BYTES:
                raise InfrastructureError(f"The variables of module {number} are too large")
            places = places_of(self._driver, self._modules[number], sizes)
            found |= {(number, place.name): place for place in places}
        return found

    def _upload(self, content: bytes) -> int:
        address = allocate(self._driver, len(content))
        copy_to_device(self._driver, address, content)
        return address


def _located(plan: LaunchPlan, variables: _Variables) -> list[PlanNode]:
    """The plan's nodes with the addresses that its modules' variables have here."""
    nodes = list(plan.nodes)
    for address in plan.variables:
        place_of = variables.get((address.module, address.name))
        if place_of is None or address.offset > place_of.nbytes or not place_of.address:
            raise InfrastructureError(f"Variable {address.name[:200]} is not in its module")
        value = place_of.address + address.offset
        nodes[address.node] = with_address(nodes[address.node], address, value)
    return nodes


def _bound(function: Callable[..., None], *arguments: Any) -> Enqueue:
    return lambda: function(*arguments)


def _recorded(placed: Sequence[Placed]) -> set[int]:
    return {n for n, p in enumerate(placed) if p.recorded} | set(ends(placed).values())


def _memset(driver: Driver, node: Memset, stream: int) -> None:
    letter, number = {1: ("8", c_ubyte), 2: ("16", c_ushort), 4: ("32", c_uint)}[node.element_bytes]
    value = number(node.value & ((1 << (8 * node.element_bytes)) - 1))
    if node.height == 1:
        name = f"cuMemsetD{letter}Async"
        driver.call(name, c_uint64(node.address), value, c_size_t(node.width), c_void_p(stream))
        return
    driver.call(
        f"cuMemsetD2D{letter}Async",
        c_uint64(node.address),
        c_size_t(node.pitch),
        value,
        c_size_t(node.width),
        c_size_t(node.height),
        c_void_p(stream),
    )


def _copy_parameters(node: DeviceCopy) -> Copy3D:
    raw = Copy3D(width_bytes=node.width_bytes, height=node.height, depth=1)
    for side, address, pitch in (
        (raw.source, node.source, node.source_pitch),
        (raw.destination, node.destination, node.destination_pitch),
    ):
        side.memory_type, side.device = DEVICE_MEMORY, address
        side.pitch, side.height = pitch or node.width_bytes, node.height
    return raw


def _copy(driver: Driver, raw: Copy3D, stream: int) -> None:
    if raw.height == 1:
        copy(driver, raw.destination.device, raw.source.device, raw.width_bytes, stream)
        return
    driver.call("cuMemcpy3DAsync_v2", byref(raw), c_void_p(stream))
