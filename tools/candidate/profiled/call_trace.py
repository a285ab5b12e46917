"""One call on a timeline, and the host's time of unprofiled calls.

`torch.autograd.profiler.profile` records what `torch.profiler.profile` does and writes the same
trace, without loading torch's compiler first, which takes as long as torch itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.autograd.profiler import profile, record_function

from ...messages.profiler import CALL_MARK

Act = Callable[[], None]


@dataclass(frozen=True)
class HostTimes:
    """Microseconds of each unprofiled call: to its return, and to the end of the device's work."""

    host_us: list[float]
    finished_us: list[float]


def host_times(call: Act, wait: Act, count: int) -> HostTimes:
    """Makes calls one after another, each on a device at rest."""
    found = HostTimes([], [])
    for _ in range(count):
        begin = time.perf_counter_ns()
        call()
        returned = time.perf_counter_ns()
        wait()
        finished = time.perf_counter_ns()
        found.host_us.append((returned - begin) / 1e3)
        found.finished_us.append((finished - begin) / 1e3)
    return found


def write_trace(call: Act, wait: Act, path: str, *, on_device: bool) -> None:
    """Makes one call inside the annotation `CALL_MARK`, after another, and writes a Chrome trace.

    Args:
        on_device: whether activities of a CUDA device are recorded.
    """
    profiler = profile(use_device="cuda" if on_device else None, use_kineto=True)
    with torch.no_grad(), profiler:
        call()
        wait()
        with record_function(CALL_MARK):
            call()
        wait()
    profiler.export_chrome_trace(path)
