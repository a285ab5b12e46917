"""Answers with what a call launches: its plan in a file, or what its kernels are launched with."""

from __future__ import annotations

from collections.abc import Collection

import torch

from ...messages.candidate import Called, CallRequest, Recorded, RecordRequest, ReturnedTensor
from ...messages.frames import EXCERPT_CHARACTERS
from ...messages.launches import PassedParameters, WatchedLaunches
from ..calls import torch_guards
from ..calls.caller import Caller
from ..calls.cupti_records import SHOWN_NAME
from ..calls.kernel_origin import origin_of
from ..recording.launch_calls import LaunchedKernel
from ..recording.recorder import CallRecorder, write_plan

MOST_PASSED = 4_000
COMPARED = ("candidate", "unknown")
"""Of the origins of kernels."""


def record(
    caller: Caller, recorder: CallRecorder, request: RecordRequest, device_index: int
) -> tuple[Recorded, list[int]]:
    """Records one call; the answer, and the descriptor that goes with it."""
    call, returned = caller.bound(request.arguments, request.outputs, request.returnable)
    collecting = torch_guards.collects()
    try:
        recording = recorder.record(call, device_index, caller.clock_buffers)
    finally:
        torch_guards.rehook(collecting)
    if recording.built is None:
        reason = (recording.reason or "")[:EXCERPT_CHARACTERS]
        return Recorded(reason=reason, broken=recording.broken), []
    if any(not isinstance(value, torch.Tensor) for value in returned):
        return Recorded(reason="the call returns a number, which the host must have read"), []
    fd, plan_bytes = write_plan(recording.built)
    places = [
        ReturnedTensor(address=value.data_ptr(), strides=list(value.stride())) for value in returned
    ]
    return Recorded(plan_bytes=plan_bytes, returned=places), [fd]


def watched_call(
    caller: Caller, recorder: CallRecorder, request: CallRequest, own: Collection[str]
) -> Called:
    """Makes an ordinary call; the answer tells what its kernels were launched with.

    Kernels of libraries are left out: their structures have bytes that nobody sets.

    Args:
        own: names of the device functions in the candidate's sources.
    """
    with recorder.watched() as watch:
        called = caller.call(request)
    passed = [_passed(one) for one in watch.launches if origin_of(one.name, own) in COMPARED]
    watched = WatchedLaunches(launches=passed[:MOST_PASSED], dropped_for=watch.fault or "")
    if len(passed) > MOST_PASSED:
        watched = WatchedLaunches(dropped_for=f"the call launches {len(passed)} kernels")
    return called.model_copy(update={"watched": watched})


def _passed(launch: LaunchedKernel) -> PassedParameters:
    return PassedParameters(
        kernel=launch.name[:SHOWN_NAME],
        grid=list(launch.grid),
        block=list(launch.block),
        parameters=launch.parameters.hex(),
        layout=list(launch.layout),
    )
