"""Replays enqueued and timed by two clocks: activity records, and events beside them.

One replay: shared and local memory overwritten, scratch restored, inputs copied in, outputs
poisoned, the L2 flushed, the device at rest; then the launches, held back by a word in host memory
until all are enqueued, so that what the host takes for a launch leaves no gap between two kernels;
then outputs copied out.

Method: a cold L2 by filling a buffer of twice its size, as the clock in candidates' processes does.
"""

from __future__ import annotations

import ctypes
import time
from contextlib import AbstractContextManager, nullcontext
from ctypes import c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass

from ..driver.cupti import ActivityRecorder, Cupti
from ..driver.library import (
    Driver,
    allocate,
    allocate_host,
    copy,
    elapsed_ns,
    fill,
    l2_bytes,
    new_event,
    new_stream,
    record_event,
    synchronize,
    wait_value,
)
from ..errors import CapabilityError
from ..messages.runner import (
    Batch,
    BatchDone,
    Flush,
    Replay,
    ReplayCall,
    Replayed,
    ReplaysMade,
    Rotate,
    Rotated,
    Sustain,
    Sustained,
)
from .batches import Batches
from .device_kernels import DeviceKernels, Yardstick
from .loaded_plan import LoadedPlan
from .memory import RunnerMemory
from .spans import LEAST_MARKER_BYTES, marker_bytes, times_of

MARKER_STRIDE = 1 << 20

MOST_HELD = 400
"""Nodes that are held back at once: a stream's queue has room for about a thousand launches."""


@dataclass(frozen=True)
class _Gate:
    """A word in host memory that a stream waits for."""

    word: c_uint
    device_address: int


class Replayer:
    """Replays plans in this process's context.

    Args:
        driver: libcuda.
        device: the device of the current context.
        memory: what may be copied from and to.
    """

    def __init__(self, driver: Driver, device: int, memory: RunnerMemory) -> None:
        self._driver, self._memory = driver, memory
        self.stream = new_stream(driver)
        self._flushed_bytes = 2 * l2_bytes(driver, device)
        self._flushed = allocate(driver, self._flushed_bytes)
        host, device_address = allocate_host(driver, 4)
        self._gate = _Gate(c_uint.from_address(host), device_address)
        self._marker, self._marker_bytes = allocate(driver, 2 * MARKER_STRIDE), LEAST_MARKER_BYTES
        self._kernels = DeviceKernels(driver, device, self.stream)
        self.yardstick = self._kernels.yardstick()
        self._batches = Batches(
            driver, self.stream, memory, self._kernels, self._fill, self._reset_persisting
        )
        self._events: list[tuple[int, int]] = []
        self._enqueued: list[int] = []
        self._recorder: ActivityRecorder | None = None
        self.note = ""
        """Why no activity is recorded; empty where it is."""
        try:
            self._recorder = ActivityRecorder(Cupti())
        except CapabilityError as error:
            self.note = str(error)[:400]

    def replay(self, plan: LoadedPlan | Yardstick, request: Replay) -> ReplaysMade:
        """Replays the program once for each call of the request; `times` follows.

        Raises:
            ValueError: when a call names memory that is not mapped.
        """
        self._memory.check(request.calls)
        while len(self._events) < len(request.calls):
            made = (new_event(self._driver, timed=True), new_event(self._driver, timed=True))
            self._events.append(made)
        if not plan.rehearsed:
            self._rehearse(plan, request)
        moved = {m.nbytes for call in request.calls for m in (*call.before, *call.after)}
        self._marker_bytes = marker_bytes(moved | plan.copied_bytes)
        if self._recorder:
            self._recorder.collect()  # what batches and restored images left
        begin = time.perf_counter_ns()
        self._enqueued = [
            self._once(plan, n, call, request) for n, call in enumerate(request.calls)
        ]
        synchronize(self._driver)
        return ReplaysMade(total_ns=time.perf_counter_ns() - begin)

    def times(self) -> Replayed:
        """What the clocks saw of the calls of the last `replay`; it takes as long as a replay."""
        enqueued = self._enqueued
        events = [elapsed_ns(self._driver, a, b) for a, b in self._events[: len(enqueued)]]
        activities = self._recorder.collect() if self._recorder else []
        times = times_of(activities, self._marker_bytes, events, enqueued)
        counts = dict(self._recorder.counts) if self._recorder else {}
        return Replayed(times=times, records=counts)

    def batch(self, program: LoadedPlan | Yardstick | None, request: Batch) -> BatchDone:
        """Flushes and calls again and again, for the judge's own clock; nothing is recorded."""
        with self._unrecorded():
            return self._batches.run(program, request)

    def rotate(self, plan: LoadedPlan, request: Rotate) -> Rotated:
        """Makes the plan's launches anew for each copy of its tensors."""
        return self._batches.rotate(plan, request)

    def sustain(self, plan: LoadedPlan, request: Sustain) -> Sustained:
        """Calls the plan on each copy once, back to back, on a flushed L2; nothing is recorded.

        Raises:
            ValueError: when a call names memory that is not mapped, or there is no copy for it.
        """
        self._memory.check(request.calls)

        def prepare() -> None:
            self._kernels.scrub(plan.local_bytes, request.scratch_byte)
            plan.restore(request.scratch_byte)
            for call in request.calls:
                self._bring(call)
            self._flush("read")

        with self._unrecorded():
            found = self._batches.sustain(plan, len(request.calls), prepare)
        for call in request.calls:
            self._take(call)
        synchronize(self._driver)
        return found

    def forget(self) -> None:
        """Gives back what was made for the plan that is about to be unloaded."""
        self._batches.forget()

    def _unrecorded(self) -> AbstractContextManager[None]:
        return self._recorder.paused() if self._recorder else nullcontext()

    def _rehearse(self, plan: LoadedPlan | Yardstick, request: Replay) -> None:
        """One replay that is not held back: a first launch may wait for the device, which would
        wait for the word that holds it."""
        self._prepare(plan, request.calls[0], request)
        plan.enqueue()
        synchronize(self._driver)
        plan.rehearsed = True

    def _prepare(self, plan: LoadedPlan | Yardstick, call: ReplayCall, request: Replay) -> None:
        if plan is not self.yardstick:  # which reads nothing that a kernel before it could leave
            self._kernels.scrub(plan.local_bytes, request.scratch_byte)
        plan.restore(request.scratch_byte)  # before outputs that were returned, which lie in it
        self._bring(call)
        for begin, nbytes in self._memory.joined([*plan.scratch, *touched(call)]):
            self._kernels.demote(begin, nbytes)

    def _bring(self, call: ReplayCall) -> None:
        for move in call.before:
            copy(self._driver, move.destination, move.source, move.nbytes, self.stream)
        for poison in call.poison:
            fill(self._driver, poison.address, poison.byte, poison.nbytes, self.stream)

    def _take(self, call: ReplayCall) -> None:
        for move in call.after:
            copy(self._driver, move.destination, move.source, move.nbytes, self.stream)

    def _once(
        self, plan: LoadedPlan | Yardstick, number: int, call: ReplayCall, request: Replay
    ) -> int:
        driver, stream = self._driver, self.stream
        self._prepare(plan, call, request)
        self._flush(call.flush)
        self._mark()
        if request.drained:
            driver.call("cuStreamSynchronize", c_void_p(stream))
        held = request.held and plan.holdable and plan.count <= MOST_HELD
        if held:
            self._gate.word.value = 0
            wait_value(driver, stream, self._gate.device_address, 1)
        try:
            spent = self._timed(plan, number)
        finally:
            self._gate.word.value = 1
        self._take(call)
        if held:
            # The word is closed again for the next replay only when this one has passed it.
            driver.call("cuStreamSynchronize", c_void_p(stream))
        return spent

    def _timed(self, plan: LoadedPlan | Yardstick, number: int) -> int:
        first, last = self._events[number]
        begin = time.perf_counter_ns()
        record_event(self._driver, first, self.stream)
        plan.enqueue()
        record_event(self._driver, last, self.stream)
        spent = time.perf_counter_ns() - begin
        self._mark()
        return spent

    def _mark(self) -> None:
        """A copy that separates a replay's activities from what surrounds it."""
        source, nbytes = self._marker, self._marker_bytes
        copy(self._driver, source + MARKER_STRIDE, source, nbytes, self.stream)

    def _flush(self, how: Flush) -> None:
        """Leaves nothing of the inputs in the L2, persisting or not, unless `how` is 'none'."""
        self._reset_persisting()
        if how == "fill":
            self._fill()
        elif how == "read":
            self._kernels.read(self._flushed, self._flushed_bytes)

    def _fill(self) -> None:
        self._driver.call(
            "cuMemsetD32Async",
            c_uint64(self._flushed),
            c_uint(0),
            c_size_t(self._flushed_bytes // ctypes.sizeof(c_uint)),
            c_void_p(self.stream),
        )

    def _reset_persisting(self) -> None:
        self._driver.call("cuCtxResetPersistingL2Cache")


def touched(call: ReplayCall) -> list[tuple[int, int]]:
    """Address and bytes of every tensor of a call."""
    inputs = [(move.destination, move.nbytes) for move in call.before]
    return inputs + [(place.address, place.nbytes) for place in call.poison]
