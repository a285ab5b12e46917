"""Records one call of a candidate: captures it into a graph, and makes its plan.

What the call launches is captured, not run, but for what it launches on the default stream. A call
that waits for the device, or whose host code reads what the device wrote, cannot be captured; why
not is the answer then.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...driver.cupti import Cupti, ModuleCallbacks
from ...driver.graphs import AllocationNode, CapturedGraph, KernelNode, read_graph
from ...driver.library import (
    CudaDriver,
    Driver,
    DriverError,
    allocation_of,
    copy_to_host,
    memory_type,
)
from ...driver.module_variables import contents_of, places_of
from ...messages.launch_plan import MOST_CONTENT_BYTES, MOST_VARIABLE_BYTES
from .allocator import Block, ScratchAllocator
from .default_stream import DefaultStreamMirror
from .driver_memory import DriverMemory, addresses_in, placed
from .fresh_modules import FreshModules, attributes_of
from .launch_calls import LaunchWatch
from .module_log import ModuleLog, tables_of
from .plan_builder import (
    BuiltPlan,
    GlobalContent,
    RegionContent,
    build_plan,
)
from .replayable import SHOWN_NAME, NotReplayableError, require_own_data
from .variables import LEAST_ADDRESS, MOST_ADDRESS, ModuleVariable, is_inside, variable_at

REASON_CHARACTERS = 400


@dataclass(frozen=True)
class Recording:
    """A plan with its blobs, or the reason why there is none.

    Args:
        broken: whether capturing failed, after which torch may fail at every further capture.
    """

    built: BuiltPlan | None
    reason: str | None = None
    broken: bool = False


class CallRecorder:
    """Records calls in this process; made before CUDA is started in it.

    Args:
        driver: libcuda.
        allocator: where torch's memory comes from; it is installed here.
        cupti: announces the cubins that are loaded.
    """

    def __init__(self, driver: Driver, allocator: ScratchAllocator, cupti: Cupti) -> None:
        self._driver, self._allocator = driver, allocator
        self.log = ModuleLog()
        self._fresh = FreshModules(driver)
        self._stream: torch.cuda.Stream | None = None
        allocator.install()
        self._callbacks = ModuleCallbacks(cupti, self.log.add)

    def record(
        self, call: Callable[[], Any], device_index: int, without: Collection[int] = ()
    ) -> Recording:
        """Captures `call()`, which has run before: everything is compiled and tuned.

        Args:
            without: addresses of memory that the call does not use.
        """
        try:
            return Recording(self._record(call, device_index, without))
        except NotReplayableError as error:
            return Recording(None, str(error)[:REASON_CHARACTERS])
        except Exception as error:  # whatever capturing foreign code raises is the reason
            words = " ".join(f"{type(error).__name__}: {error}".split())
            reason = f"the call cannot be recorded: {words}"[:REASON_CHARACTERS]
            return Recording(None, reason, broken=True)

    @contextlib.contextmanager
    def watched(self) -> Iterator[LaunchWatch]:
        """Keeps what is launched meanwhile; nothing is captured."""
        watch = LaunchWatch(self._driver)
        with self._callbacks.watching(watch.numbers, watch.entered):
            yield watch

    def _record(
        self, call: Callable[[], Any], device_index: int, without: Collection[int]
    ) -> BuiltPlan:
        torch.cuda.synchronize(device_index)
        self._allocator.drain()
        self._allocator.reserve(device_index)
        live = (b for b in self._allocator.blocks() if b.live)
        before = {b.address: b for b in live if b.address not in without}
        serial = self._allocator.serial()
        contents = self._contents(before)
        graph, raw = self._captured(call)
        try:
            cubins = self._cubins(raw)
            variables = self._variables(raw, cubins)
            regions = _regions(contents, self._allocator.blocks(), serial)
            major, minor = torch.cuda.get_device_capability(device_index)
            return build_plan(
                raw,
                cubins,
                architecture=f"sm_{major}{minor}",
                regions=regions,
                globals_of_modules=[
                    GlobalContent(v.cubin, v.place.name, v.changed)
                    for v in variables
                    if v.changed is not None
                ],
                variables=variables,
                memory_type=lambda address: memory_type(self._driver, address),
                host_bytes=host_bytes,
                places=placed(self._driver_memory(raw, variables)),
            )
        finally:
            graph.reset()
            # What the captured call allocated serves ordinary calls, which are on another stream.
            torch.cuda.synchronize(device_index)
            self._allocator.drain()

    def _captured(self, call: Callable[[], Any]) -> tuple[torch.cuda.CUDAGraph, CapturedGraph]:
        graph = torch.cuda.CUDAGraph(keep_graph=True)
        # The same for every record: libraries keep 32 MiB for each stream that they were called on.
        stream = self._stream = self._stream or torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        mirror = DefaultStreamMirror(self._driver, stream.cuda_stream)
        before = self._allocator.serial()
        with torch.cuda.stream(stream):
            graph.capture_begin(capture_error_mode="thread_local")
            begun = range(before, self._allocator.serial())
            try:
                with self._callbacks.watching(mirror.numbers, mirror.entered):
                    call()
            except BaseException:
                with contextlib.suppress(Exception):
                    graph.capture_end()
                raise
            graph.capture_end()
        torch.cuda.synchronize()
        if mirror.fault is not None:
            raise NotReplayableError(mirror.fault)
        captured = read_graph(self._driver, graph.raw_cuda_graph())
        fed = {b.address for b in self._allocator.blocks() if b.serial in begun}
        require_own_data(captured, fed, self._callbacks.objects)
        return graph, captured

    def _driver_memory(
        self, graph: CapturedGraph, variables: Sequence[ModuleVariable]
    ) -> list[DriverMemory]:
        """What the call uses of memory that the driver placed, as it is now.

        What a call leaves is what the next one finds, should some of this one have run meanwhile.
        """
        found = {
            node.address: DriverMemory(node.address, node.nbytes, None)
            for node in graph.nodes
            if isinstance(node, AllocationNode)
        }
        for address in dict.fromkeys(a for node in graph.nodes for a in addresses_in(node)):
            known = any(one.holds(address) for one in found.values())
            if known or is_inside(address) or not LEAST_ADDRESS <= address < MOST_ADDRESS:
                continue
            if variable_at(address, variables) or memory_type(self._driver, address) != "device":
                continue
            begin, nbytes = allocation_of(self._driver, address)
            if nbytes > MOST_CONTENT_BYTES:
                raise NotReplayableError(
                    f"{nbytes >> 20} MiB at {begin:#x} were allocated before the call; "
                    f"{MOST_CONTENT_BYTES >> 20} fit"
                )
            found[begin] = DriverMemory(begin, nbytes, self._read_before(begin, nbytes))
        return [*found.values()]

    def _read_before(self, begin: int, nbytes: int) -> bytes:
        try:
            return copy_to_host(self._driver, begin, nbytes)
        except DriverError as error:
            raise NotReplayableError(
                f"{nbytes} bytes at {begin:#x}, allocated before the call, cannot be read: {error}"
            ) from error

    def _contents(self, blocks: dict[int, Block]) -> list[RegionContent]:
        return [
            RegionContent(b.address, b.nbytes, copy_to_host(self._driver, b.address, b.nbytes))
            for b in blocks.values()
            if b.nbytes
        ]

    def _cubins(self, graph: CapturedGraph) -> dict[int, bytes]:
        """The cubin of every function, which a second load of it must accept."""
        found: dict[int, bytes] = {}
        for node in graph.nodes:
            if isinstance(node, KernelNode) and node.function not in found:
                found[node.function] = self._cubin(node)
        return found

    def _cubin(self, node: KernelNode) -> bytes:
        candidates = self.log.candidates(node.name, node.module)
        fitting = [c for c in candidates if len(candidates) == 1 or self._agrees(c, node)]
        if not fitting:
            raise NotReplayableError(f"the module of {node.name[:SHOWN_NAME]} was not seen")
        if len(fitting) > 1:
            raise NotReplayableError(
                f"{node.name[:SHOWN_NAME]} stands in {len(fitting)} modules that differ"
            )
        return fitting[0]

    def _agrees(self, cubin: bytes, node: KernelNode) -> bool:
        """Whether the cubin, loaded anew, gives a function like the captured one."""
        found = self._fresh.attributes(cubin, node.name)
        return found is not None and found == attributes_of(self._driver, node.function)

    def _variables(self, graph: CapturedGraph, cubins: dict[int, bytes]) -> list[ModuleVariable]:
        """Every variable of the modules whose kernels are launched, with what it holds."""
        seen: set[int] = set()
        found: list[ModuleVariable] = []
        for node in graph.nodes:
            if isinstance(node, KernelNode) and node.module not in seen:
                seen.add(node.module)
                found += self._variables_of(node.module, cubins[node.function])
        return found

    def _variables_of(self, module: int, cubin: bytes) -> list[ModuleVariable]:
        tables = tables_of(cubin)
        names = tables.globals() if tables else {}
        if sum(names.values()) > MOST_VARIABLE_BYTES:
            most = MOST_VARIABLE_BYTES >> 20
            raise NotReplayableError(f"a module has more than {most} MiB of variables")
        places = places_of(self._driver, module, names)
        held, fresh = contents_of(self._driver, places), self._fresh.contents(cubin, names)
        return [
            ModuleVariable(
                cubin,
                place,
                None if held[place.name] == fresh.get(place.name) else held[place.name],
            )
            for place in places
        ]


def _regions(before: list[RegionContent], blocks: list[Block], serial: int) -> list[RegionContent]:
    """What was there before the call, and what it allocated, without overlap."""
    held = {region.address for region in before}
    return before + [
        RegionContent(b.address, b.nbytes, None)
        for b in blocks
        if b.serial >= serial and b.address not in held and b.nbytes
    ]


def start_recording(library: bytes, folder: Path) -> CallRecorder:
    """The recorder of this process, in which CUDA is not started yet.

    Args:
        library: the compiled allocator.
        folder: where it is written, to be loaded from.

    Raises:
        CapabilityError: without CUPTI, or when the driver lacks virtual memory.
    """
    path = folder / "scratch.so"
    path.write_bytes(library)
    driver = CudaDriver()
    driver.call("cuInit", 0)
    return CallRecorder(driver, ScratchAllocator(path), Cupti())


def write_plan(built: BuiltPlan) -> tuple[int, int]:
    """The plan as JSON and then its blobs in a memory file: its descriptor, and bytes of JSON."""
    plan = built.plan.model_dump_json().encode()
    fd = os.memfd_create("launch_plan", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(plan)
        for blob in built.blobs:
            file.write(blob)
    return fd, len(plan)


def host_bytes(address: int, nbytes: int) -> bytes | None:
    """What this process's memory holds; None where it is not mapped.

    Reading that through a pointer would end the process.
    """
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            found = os.pread(memory.fileno(), nbytes, address)
    except (OSError, OverflowError):
        return None
    return found if len(found) == nbytes else None
