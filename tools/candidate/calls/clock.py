"""Clocks for one call, read inside the candidate's process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...messages.candidate import CallRequest
from ...messages.launches import Activity, CallLaunches
from ..compilation.builders import LoadedCandidate
from ..cpu.fake_tensors import OnTheCpu
from ..cpu.launches import interpreted_launches
from .disabled_kernels import disabled_kernels, require_launches

_now = time.perf_counter_ns


@dataclass(frozen=True)
class CallTiming:
    """Times of one call in nanoseconds, and its device activities, as a clock measured them."""

    timer: str | None = None
    note: str | None = None
    span_ns: int | None = None
    host_ns: int | None = None
    activities: list[Activity] = field(default_factory=list)
    dropped: int = 0
    interpreted: CallLaunches = field(default_factory=CallLaunches)


class Clock(Protocol):
    """Runs a call, copies its outputs, and measures how long it took."""

    def measure(
        self,
        request: CallRequest,
        call: Callable[[], Any],
        snapshot: Callable[[Any], None],
        candidate: LoadedCandidate,
    ) -> CallTiming:
        """Calls `call()`, hands its result to `snapshot` at once, then synchronises."""
        ...

    def buffers(self) -> list[int]:
        """Addresses of its own device memory, which no call uses."""
        ...

    def end_recording(self) -> None:
        """Leaves the device's activities to another profiler of this process."""
        ...

    def collect(self, candidate: LoadedCandidate) -> dict[int, CallTiming]:
        """Times of the calls deferred since the last `collect`, by number."""
        ...

    def kernels(self) -> list[str]:
        """Names of all kernels that this process has launched, as far as they were recorded."""
        ...


class NoClock:
    """Measures host time only, for a CPU; it is never shown as a kernel's time."""

    def measure(
        self,
        request: CallRequest,
        call: Callable[[], Any],
        snapshot: Callable[[Any], None],
        candidate: LoadedCandidate,
    ) -> CallTiming:
        """Times the call on the host, or runs it with its kernels disabled."""
        if request.disable_own_kernels:
            with OnTheCpu(), disabled_kernels() as count:
                result = call()
            require_launches(count)
            snapshot(result)
            return CallTiming()
        with interpreted_launches(request.configuration) as log, OnTheCpu(log.note):
            begin = _now()
            result = call()
            end = _now()
        snapshot(result)
        return CallTiming(host_ns=end - begin, interpreted=log.message())

    def buffers(self) -> list[int]:
        """No address: a clock without a device keeps no memory there."""
        return []

    def end_recording(self) -> None:
        """Nothing: nothing is recorded here."""

    def collect(self, candidate: LoadedCandidate) -> dict[int, CallTiming]:
        """Returns an empty dict: nothing is deferred here."""
        return {}

    def kernels(self) -> list[str]:
        """No name: nothing is launched without a device."""
        return []
