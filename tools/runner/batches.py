"""Many calls back to back: for the judge's own clock, and for what a call costs in steady state.

The calls are captured into a graph by the code that enqueues them otherwise, so that the host's
launch time bounds nothing. Gaps between kernels are shorter in a graph than on a stream: what a
batch takes is a lower bound of what the same calls take one by one.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..driver.graph_capture import destroy_executable, executable_of, launch_graph
from ..driver.library import (
    Driver,
    DriverError,
    elapsed_ns,
    new_event,
    record_event,
    synchronize,
)
from ..messages.runner import Batch, BatchDone, Program, Rotate, Rotated, Sustained
from .device_kernels import DeviceKernels, Yardstick
from .loaded_plan import Enqueue, LoadedPlan
from .memory import RunnerMemory

DELAY_NS = 100_000
DELAY_NS_A_NODE = 1_000
"""How long the device is kept busy while a graph is launched, so that it waits for no launch."""
NOTE_CHARACTERS = 400


@dataclass(frozen=True)
class _Graph:
    """A graph that is ready to be launched; 0 where `note` says why there is none."""

    executable: int
    note: str = ""


@dataclass(frozen=True)
class _Key:
    """What a graph holds."""

    program: Program | None
    flush: bool
    calls: int


class Batches:
    """Batches of the calls of one runner.

    Args:
        driver: libcuda.
        stream: where everything is enqueued.
        memory: where the copies of a call's tensors are mapped.
        kernels: the runner's own.
        flush: enqueues a flush of the L2.
        reset: takes back what was to persist in the L2; it cannot be captured.
    """

    def __init__(
        self,
        driver: Driver,
        stream: int,
        memory: RunnerMemory,
        kernels: DeviceKernels,
        flush: Enqueue,
        reset: Enqueue,
    ) -> None:
        self._driver, self._stream, self._memory = driver, stream, memory
        self._kernels, self._flush, self._reset = kernels, flush, reset
        self._graphs: dict[_Key, _Graph] = {}
        self._copies: list[list[Enqueue]] = []
        self._events = (new_event(driver, timed=True), new_event(driver, timed=True))

    def forget(self) -> None:
        """Gives back the graphs of the plan that is about to be unloaded."""
        for key in [k for k in self._graphs if k.program in ("plan", "copies")]:
            if executable := self._graphs.pop(key).executable:
                destroy_executable(self._driver, executable)
        self._copies = []

    def run(self, program: LoadedPlan | Yardstick | None, request: Batch) -> BatchDone:
        """Makes the calls of a request, and waits for them.

        Args:
            program: what is called; None for flushes alone.
            request: what to do.
        """
        key = _Key(request.program if program else None, request.flush, request.in_graph)
        call = self._call(key, program)
        graph = self._graph(key, call) if request.in_graph else _Graph(0)
        self._reset()
        begin = time.perf_counter_ns()
        if graph.executable:
            for _ in range(request.calls // request.in_graph):
                launch_graph(self._driver, graph.executable, self._stream)
        else:
            for _ in range(request.calls):
                call()
        enqueued = time.perf_counter_ns() - begin
        synchronize(self._driver)
        return BatchDone(enqueue_ns=enqueued, by_graph=bool(graph.executable), note=graph.note)

    def rotate(self, plan: LoadedPlan, request: Rotate) -> Rotated:
        """Makes the plan's launches anew for each copy of its tensors.

        Raises:
            ValueError: when there is no place for the copies.
        """
        self.forget()
        self._memory.map_copies(request.nbytes)
        changed = 0
        for offset in request.offsets:
            steps, changed = plan.moved(request.begin, request.end, offset)
            self._copies.append(steps)
        return Rotated(changed=changed)

    def sustain(self, plan: LoadedPlan, calls: int, prepare: Enqueue) -> Sustained:
        """Calls the plan on each copy once, in a graph, and takes the time of all by events.

        Args:
            plan: the plan.
            calls: as many as there are copies.
            prepare: enqueues what comes before the first call.

        Raises:
            ValueError: when there are not as many copies as calls.
        """
        if not self._copies or len(self._copies) != calls:
            raise ValueError(f"{calls} calls on {len(self._copies)} copies of the tensors")
        key = _Key("copies", False, calls)
        graph = self._graph(key, self._call(key, plan))
        if not graph.executable:
            return Sustained(note=graph.note)
        prepare()
        synchronize(self._driver)
        first, last = self._events
        self._kernels.delay(DELAY_NS + DELAY_NS_A_NODE * plan.count * calls)
        record_event(self._driver, first, self._stream)
        launch_graph(self._driver, graph.executable, self._stream)
        record_event(self._driver, last, self._stream)
        synchronize(self._driver)
        return Sustained(events_ns=elapsed_ns(self._driver, first, last))

    def _call(self, key: _Key, program: LoadedPlan | Yardstick | None) -> Enqueue:
        """What enqueues the next call of a batch."""
        steps: list[Enqueue] = []
        if key.flush:
            steps.append(self._flush)
        if key.program == "copies":
            if not self._copies:
                raise ValueError("There are no copies of the tensors")
            turns = itertools.cycle(self._copies)
            steps.append(lambda: _all(next(turns)))
        elif program is not None:
            steps.append(program.enqueue)
        return lambda: _all(steps)

    def _graph(self, key: _Key, call: Enqueue) -> _Graph:
        if key not in self._graphs:
            self._graphs[key] = self._captured(lambda: _times(key.calls, call))
        return self._graphs[key]

    def _captured(self, enqueue: Enqueue) -> _Graph:
        try:
            executable = executable_of(self._driver, self._stream, enqueue)
            synchronize(self._driver)
        except DriverError as error:
            words = f"The calls cannot be captured into a graph: {error}"
            return _Graph(0, words[:NOTE_CHARACTERS])
        return _Graph(executable)


def _all(steps: list[Enqueue]) -> None:
    for step in steps:
        step()


def _times(count: int, call: Callable[[], None]) -> None:
    for _ in range(count):
        call()
