"""Answers a request to record a call: the plan in a file, or why there is none."""

from __future__ import annotations

import torch

from ...messages.candidate import Recorded, RecordRequest, ReturnedTensor
from ...messages.frames import EXCERPT_CHARACTERS
from ..calls import torch_guards
from ..calls.caller import Caller
from ..recording.recorder import CallRecorder, write_plan


def record(
    caller: Caller, recorder: CallRecorder, request: RecordRequest, device_index: int
) -> tuple[Recorded, list[int]]:
    """Records one call; the answer, and the descriptor that goes with it."""
    call, returned = caller.bound(request.arguments, request.outputs)
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
