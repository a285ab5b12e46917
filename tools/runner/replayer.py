"""Replays enqueued and timed by two clocks: activity records, and events beside them.

One replay: inputs copied in, outputs poisoned, scratch restored, the L2 flushed, the device at
rest; then the launches, held back by a word in host memory until all are enqueued, so that what
the host takes for a launch leaves no gap between two kernels; then outputs copied out.

Method: a cold L2 by filling a buffer of twice its size, as the clock in candidates' processes does.
"""

from __future__ import annotations

import ctypes
import time
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
from ..messages.runner import Batch, BatchDone, Move, Replay, ReplayCall, Replayed
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
        self._events: list[tuple[int, int]] = []
        self._recorder: ActivityRecorder | None = None
        self.note: str | None = None
        self.library = ""
        try:
            cupti = Cupti()
            self._recorder = ActivityRecorder(cupti)
            self.library = cupti.described()
        except CapabilityError as error:
            self.note = str(error)[:400]

    def replay(self, plan: LoadedPlan, request: Replay) -> Replayed:
        """Replays the plan once for each call of the request.

        Raises:
            ValueError: when a call names memory that is not mapped.
        """
        for call in request.calls:
            self._check(call)
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
        enqueued = [self._once(plan, n, call, request) for n, call in enumerate(request.calls)]
        synchronize(self._driver)
        total = time.perf_counter_ns() - begin
        events = [elapsed_ns(self._driver, a, b) for a, b in self._events[: len(enqueued)]]
        activities = self._recorder.collect() if self._recorder else []
        times = times_of(activities, self._marker_bytes, events, enqueued)
        counts = dict(self._recorder.counts) if self._recorder else {}
        return Replayed(times=times, total_ns=total, records=counts)

    def batch(self, plan: LoadedPlan | None, request: Batch) -> BatchDone:
        """Flushes and calls again and again, for the judge's own clock; nothing is recorded."""
        begin = time.perf_counter_ns()
        for _ in range(request.calls):
            if request.flush:
                self._flush()
            if request.with_call and plan is not None:
                plan.enqueue()
        enqueued = time.perf_counter_ns() - begin
        synchronize(self._driver)
        return BatchDone(enqueue_ns=enqueued)

    def _rehearse(self, plan: LoadedPlan, request: Replay) -> None:
        """One replay that is not held back: a first launch may wait for the device, which would
        wait for the word that holds it."""
        self._prepare(plan, request.calls[0], request)
        plan.enqueue()
        synchronize(self._driver)
        plan.rehearsed = True

    def _prepare(self, plan: LoadedPlan, call: ReplayCall, request: Replay) -> None:
        for move in call.before:
            copy(self._driver, move.destination, move.source, move.nbytes, self.stream)
        plan.restore(request.scratch_byte)
        for poison in call.poison:  # after the scratch, in which a returned output lies
            fill(self._driver, poison.address, poison.byte, poison.nbytes, self.stream)

    def _once(self, plan: LoadedPlan, number: int, call: ReplayCall, request: Replay) -> int:
        driver, stream = self._driver, self.stream
        self._prepare(plan, call, request)
        if request.cold:
            self._flush()
        self._mark()
        if request.drained:
            driver.call("cuStreamSynchronize", c_void_p(stream))
        held = request.held and plan.count <= MOST_HELD
        if held:
            self._gate.word.value = 0
            wait_value(driver, stream, self._gate.device_address, 1)
        try:
            spent = self._timed(plan, number)
        finally:
            self._gate.word.value = 1
        for move in call.after:
            copy(driver, move.destination, move.source, move.nbytes, stream)
        if held:
            # The word is closed again for the next replay only when this one has passed it.
            driver.call("cuStreamSynchronize", c_void_p(stream))
        return spent

    def _timed(self, plan: LoadedPlan, number: int) -> int:
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

    def _flush(self) -> None:
        """Leaves nothing of the inputs in the L2, pinned or not."""
        self._driver.call("cuCtxResetPersistingL2Cache")
        self._driver.call(
            "cuMemsetD32Async",
            c_uint64(self._flushed),
            c_uint(0),
            c_size_t(self._flushed_bytes // ctypes.sizeof(c_uint)),
            c_void_p(self.stream),
        )

    def _check(self, call: ReplayCall) -> None:
        moves: list[Move] = [*call.before, *call.after]
        places = [(m.source, m.nbytes) for m in moves] + [(m.destination, m.nbytes) for m in moves]
        for address, nbytes in [*places, *((p.address, p.nbytes) for p in call.poison)]:
            if not self._memory.holds(address, nbytes):
                raise ValueError(f"{nbytes} bytes at {address:#x} are not mapped")
