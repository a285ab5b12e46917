"""Answers a request to trace a call: the trace in a file, or the candidate's fault."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ...messages.candidate import Traced, TraceRequest
from ..calls import torch_guards
from ..calls.caller import Caller
from ..faults import fault_of
from ..profiled.call_trace import host_times, write_trace

FILE = "trace.json"


def trace(caller: Caller, request: TraceRequest, private: Path) -> tuple[Traced, list[int]]:
    """Traces one call; the answer, and the descriptor that goes with it.

    Args:
        private: a folder of this process's.
    """
    call, returned = caller.bound(request.arguments, request.outputs)
    on_device = torch.cuda.is_available()
    path = private / FILE

    caller.end_recording()

    def wait() -> None:
        if on_device:
            torch.cuda.synchronize()
        returned.clear()  # between calls, so that freeing is part of none

    collecting = torch_guards.collects()
    try:
        with torch.no_grad():
            for _ in range(request.warm_calls):
                call()
            wait()
            times = host_times(call, wait, request.timed_calls)
            write_trace(call, wait, str(path), on_device=on_device)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except BaseException as error:
        return Traced(fault=fault_of(error, caller.source_dir)), []
    finally:
        torch_guards.rehook(collecting)
        path.unlink(missing_ok=True)
    return Traced(host_us=times.host_us), [fd]
