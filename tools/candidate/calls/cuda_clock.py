"""The clock of a CUDA device: measures one call inside the candidate's process.

The latency is a span: the end of the last activity minus the start of the first, over all streams
and threads, of what CUPTI records between the moment before the call and the device-wide
synchronisation after it (see `records`). Without CUPTI, CUDA events around the call stand in, about
2.4 µs too long for one short kernel, and the answer says so.

What runs here shares a process with the candidate, so its figures are claims: the judge bounds them
by its own wall clock, by physics, and by a second mechanism.

Method: a cold L2 by writing a buffer of twice its size, as the FlashInfer contest's protocol does.
Its lines are then still to be written back, which a kernel pays for; nothing else happens between.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ...messages.candidate import CallRequest
from ...messages.launches import Activity
from ..compilation.builders import LoadedCandidate
from . import torch_guards
from .clock import CallTiming, Clock, NoClock
from .cupti_records import MARKER_BYTES, SHOWN_NAME, ActivityRecord, Recorder, Window
from .disabled_kernels import disabled_kernels, require_launches
from .kernel_origin import origin_of

MOST_ACTIVITIES = 1_500
SPIN_CYCLES = 4_000_000
"""About two milliseconds: longer than a process that has just woken takes to launch."""

_now = time.perf_counter_ns
_synchronize = getattr(torch._C, "_cuda_synchronize", torch.cuda.synchronize)
_current_stream = torch.cuda.current_stream
_use_stream = torch.cuda.stream
_properties = torch.cuda.get_device_properties
_empty, _zeros, _randn = torch.empty, torch.zeros, torch.randn
_Event = torch._C._CudaEventBase
"""The class below `torch.cuda.Event`: its methods are C and cannot be replaced from Python."""
_spin = torch.cuda._sleep


def _bound_reset() -> Callable[[], Any]:
    """The function that resets persisting lines of the L2; None without cuda-bindings."""
    try:
        from cuda.bindings import driver  # pyright: ignore[reportMissingImports]
    except Exception:
        return lambda: None
    return driver.cuCtxResetPersistingL2Cache


_reset_persisting = _bound_reset()


class DeviceClock:
    """Times calls on the CUDA device that holds the arena."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._scratch: torch.Tensor | None = None
        self._marker = _zeros(2, MARKER_BYTES, dtype=torch.uint8, device=device)
        self._side = torch.cuda.Stream(device)
        self._noise = torch.cuda.Stream(device)
        self._noise_block: torch.Tensor | None = None
        self._recorder, self._note = _recorder()
        self._deferred: dict[int, Window] = {}

    def measure(
        self,
        request: CallRequest,
        call: Callable[[], Any],
        snapshot: Callable[[Any], None],
        candidate: LoadedCandidate,
    ) -> CallTiming:
        """Times one call as the request asks; hands the result to `snapshot` before any sync."""
        with self._surroundings(request):
            if request.disable_own_kernels:
                return self._with_disabled_kernels(call, snapshot)
            if request.time in ("cold", "warm") and self._recorder is not None:
                return self._by_records(request, call, snapshot, candidate, self._recorder)
            if request.time != "none":
                return self._by_events(request, call, snapshot)
            return self._untimed(call, snapshot)

    def rehearse(self) -> None:
        """Runs everything around a call once, so that no candidate's first call waits for it."""
        self._chill()
        torch_guards.copy(self._marker[0], self._marker[1])
        self._occupy(1)
        _spin(1)
        _Event(enable_timing=True).record(_current_stream(self._device))
        _synchronize()
        if self._recorder is not None:
            self._recorder.calls([])

    @contextlib.contextmanager
    def _surroundings(self, request: CallRequest) -> Iterator[None]:
        if request.noise:
            self._occupy(4)
        if request.stream == "side":
            self._side.wait_stream(_current_stream(self._device))
            with _use_stream(self._side):
                yield
        else:
            yield

    def _untimed(self, call: Callable[[], Any], snapshot: Callable[[Any], None]) -> CallTiming:
        begin = _now()
        snapshot(call())
        _synchronize()
        spent = _now() - begin
        if self._recorder is not None:
            self._recorder.forget()
        return CallTiming(host_ns=spent)

    def _with_disabled_kernels(
        self, call: Callable[[], Any], snapshot: Callable[[Any], None]
    ) -> CallTiming:
        with disabled_kernels() as count:
            result = call()
        snapshot(result)
        _synchronize()
        require_launches(count)
        return CallTiming()

    def _chill(self) -> None:
        """Evicts the inputs from the L2, persisting lines too."""
        if self._scratch is None:
            l2_bytes = _properties(self._device).L2_cache_size
            self._scratch = _empty(2 * l2_bytes, dtype=torch.uint8, device=self._device)
        _reset_persisting()
        torch_guards.zero(self._scratch)

    def _occupy(self, products: int) -> None:
        """Enqueues matrix products on a stream of its own, beside the call."""
        if self._noise_block is None:
            self._noise_block = _randn(2048, 2048, device=self._device)
            _synchronize()  # it was filled on another stream than it is used on
        with _use_stream(self._noise):
            for _ in range(products):
                torch.mm(self._noise_block, self._noise_block)

    def _by_records(
        self,
        request: CallRequest,
        call: Callable[[], Any],
        snapshot: Callable[[Any], None],
        candidate: LoadedCandidate,
        recorder: Recorder,
    ) -> CallTiming:
        if request.time == "cold":
            self._chill()
        # CUPTI asks for a new buffer at the first activity after a flush; not inside the call.
        torch_guards.copy(self._marker[0], self._marker[1])
        _synchronize()
        moment = recorder.timestamp()
        result = call()
        returned = recorder.timestamp()
        torch_guards.copy(self._marker[0], self._marker[1])
        snapshot(result)
        _synchronize()
        window = Window(moment, returned, recorder.timestamp(), len(request.snapshots))
        if request.defer is not None:
            self._deferred[request.defer] = window
            return CallTiming()
        return self._timing(recorder.calls([window])[0], window, candidate)

    def buffers(self) -> list[int]:
        """Addresses of what it flushes, marks and makes noise with."""
        owned = (self._scratch, self._marker, self._noise_block)
        return [tensor.data_ptr() for tensor in owned if tensor is not None]

    def kernels(self) -> list[str]:
        """Names of all kernels that this process has launched, as far as they were recorded."""
        return self._recorder.names() if self._recorder is not None else []

    def end_recording(self) -> None:
        """Leaves CUPTI to another profiler; CUDA events stand in from here on."""
        if self._recorder is not None:
            self._recorder.close()
            self._recorder, self._note = None, "CUDA events: recording has ended"

    def collect(self, candidate: LoadedCandidate) -> dict[int, CallTiming]:
        """Reads the records of all deferred calls: a flush costs half a millisecond."""
        deferred, self._deferred = self._deferred, {}
        if not deferred or self._recorder is None:
            return {}
        found = self._recorder.calls(list(deferred.values()))
        return {
            number: self._timing(records, window, candidate)
            for (number, window), records in zip(deferred.items(), found, strict=True)
        }

    def _timing(
        self, records: list[ActivityRecord] | None, window: Window, candidate: LoadedCandidate
    ) -> CallTiming:
        if records is None:
            return CallTiming(note="the harness's markers were not among the records")
        if not records:
            host_ns = window.returned - window.moment
            return CallTiming(timer="cupti", note="no device activity in the call", host_ns=host_ns)
        end = max(record.end for record in records)
        activities = [
            Activity(
                name=record.name[:SHOWN_NAME],
                start_ns=record.start,
                end_ns=record.end,
                stream=record.stream,
                origin=_origin(record, candidate),
                grid=_extent(record.raw, "grid"),
                block=_extent(record.raw, "block"),
            )
            for record in records[:MOST_ACTIVITIES]
        ]
        return CallTiming(
            timer="cupti",
            note=self._note,
            span_ns=end - min(record.start for record in records),
            host_ns=max(min(end, window.ended), window.returned) - window.moment,
            activities=activities,
            dropped=max(0, len(records) - MOST_ACTIVITIES),
        )

    def _by_events(
        self, request: CallRequest, call: Callable[[], Any], snapshot: Callable[[Any], None]
    ) -> CallTiming:
        if request.time != "warm":
            self._chill()
        _synchronize()
        start, stop = _Event(enable_timing=True), _Event(enable_timing=True)
        stream = _current_stream(self._device)
        # A spinning kernel holds the stream back until the host has enqueued the call, so that
        # its launch time stays out of the window.
        _spin(SPIN_CYCLES)
        start.record(stream)
        begin = _now()
        result = call()
        stop.record(stream)
        snapshot(result)
        _synchronize()
        host_ns = _now() - begin
        span = round(start.elapsed_time(stop) * 1e6)
        return CallTiming(timer="cuda_events", note=self._note, span_ns=span, host_ns=host_ns)


def clock_for(device: torch.device) -> Clock:
    """The clock of a device: CUPTI or events on CUDA, none on a CPU."""
    return DeviceClock(device) if device.type == "cuda" else NoClock()


def _recorder() -> tuple[Recorder | None, str | None]:
    try:
        return Recorder(), None
    except Exception as error:  # no package, too old a driver, or counters held by a profiler
        words = f"{type(error).__name__}: {error}"[:200]
        return None, f"CUDA events, about 2.4 µs too long for one kernel; no CUPTI: {words}"


def _origin(record: ActivityRecord, candidate: LoadedCandidate) -> str:
    return origin_of(record.name, candidate.kernel_names) if record.kind == "kernel" else "copy"


def _extent(record: Any, what: str) -> list[int]:
    return [n for axis in "xyz" if (n := getattr(record, f"{what}_{axis}", None)) is not None]
