"""One call of a workload, recorded in a process of its program and checked.

What comes from that process is untrusted: the file is copied before it is read, its sizes are
bounded, and a result that is said to lie elsewhere than in the plan's own memory is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...messages.candidate import Recorded, RecordRequest, ReturnedTensor
from ...messages.launch_plan import MOST_CONTENT_BYTES, MOST_MODULE_BYTES
from ...messages.launches import WatchedLaunches
from ...messages.sockets import close_all
from ...text import shorten
from ..calls.judged_call import CallOptions, CallOutcome, JudgedCall
from ..calls.shared_memory import Layout, Slot
from ..operators.input_sets import InputSet
from ..processes.lost import ProcessLost
from .launched_work import TensorPlace, WatchedCall
from .session import CallTensor
from .validation import CheckedPlan, PlanError, check_plan

MOST_PLAN_BYTES = 64 << 20
SCRATCH_SHARE = 0.25
"""Of the device's memory, that a plan may want."""
REASON_CHARACTERS = 300
READ_BYTES = 64 << 20


class NotRecordedError(Exception):
    """Raised where a call did not become a plan; its text is the reason that a result shows.

    Args:
        final: whether the process can record no other call either.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True)
class RecordedCall:
    """A checked plan, and where the tensors of its call lie.

    Args:
        layout: of the arena in the process that recorded.
        tensors: inputs, then outputs, at their addresses there.
        strides: in elements, of outputs that were returned.
    """

    checked: CheckedPlan
    layout: Layout
    tensors: tuple[CallTensor, ...]
    strides: Mapping[str, tuple[int, ...]]

    @property
    def places(self) -> tuple[TensorPlace, ...]:
        """Where the judge's tensors lay when the call was recorded; not those it returned."""
        given = (t for t in self.tensors if t.name not in self.strides)
        return tuple((t.name, t.address, t.address + t.nbytes) for t in given)


def watched_call(judged_call: JudgedCall, outcome: CallOutcome) -> WatchedCall:
    """What an ordinary call's kernels were launched with, and where its tensors lay."""
    base, layout = judged_call.arena_address, outcome.layout
    placed = (s for s in layout.slots if s.name.startswith(("in:", "out:")))
    return WatchedCall(
        outcome.called.watched or WatchedLaunches(dropped_for="its process does not tell"),
        tuple((s.name, at := base + layout.offsets[s.name], at + s.nbytes) for s in placed),
    )


def begin_recording(judged_call: JudgedCall, input_set: InputSet) -> Layout:
    """Asks for the record of one call, on inputs that are replayed by nobody; does not wait.

    Args:
        judged_call: of a process that records, whose arena lies at a fixed address.
    """
    layout = judged_call.placed(input_set)
    request = judged_call.request_for(input_set, layout, CallOptions(late=False))
    judged_call.session.ask(
        RecordRequest(
            arguments=request.arguments, outputs=request.outputs, returnable=request.returnable
        )
    )
    return layout


def finish_recording(
    judged_call: JudgedCall,
    layout: Layout,
    *,
    architecture: str,
    scratch_bytes: int,
    timeout_s: float,
) -> RecordedCall:
    """The recorded call that `begin_recording` asked for.

    Args:
        architecture: of the device, e.g. 'sm_90'.
        scratch_bytes: the most memory that the plan may want.

    Raises:
        NotRecordedError: when there is no plan, or it is not one that may be replayed.
    """
    answer = judged_call.session.recorded(timeout_s)
    if isinstance(answer, ProcessLost):
        words = f"its process was lost while it recorded: {answer.detail}"
        raise NotRecordedError(words, final=True)
    recorded, fds = answer
    try:
        plan, file = _plan_and_file(recorded, fds)
    finally:
        close_all(fds)
    base = judged_call.arena_address
    try:
        checked = check_plan(
            plan,
            file,
            architecture=architecture,
            arena=[(base, base + judged_call.arena_bytes)],
            scratch_bytes=scratch_bytes,
        )
    except PlanError as error:
        raise NotRecordedError(f"its plan is not valid: {error.words}") from error
    return _placed(checked, layout, base, recorded.returned)


def _plan_and_file(recorded: Recorded, fds: Sequence[int]) -> tuple[object, bytes]:
    if recorded.reason is not None or len(fds) != 1:
        words = recorded.reason or "the plan came without its file"
        raise NotRecordedError(shorten(words, REASON_CHARACTERS), final=recorded.broken)
    most = MOST_PLAN_BYTES + MOST_MODULE_BYTES + MOST_CONTENT_BYTES
    size = os.fstat(fds[0]).st_size
    if not 0 < recorded.plan_bytes <= min(size, MOST_PLAN_BYTES) or size > most:
        raise NotRecordedError(f"its plan has {recorded.plan_bytes} of {size} bytes")
    whole = _read(fds[0], size)
    try:
        return json.loads(whole[: recorded.plan_bytes]), whole[recorded.plan_bytes :]
    except (ValueError, RecursionError) as error:
        raise NotRecordedError("its plan is not JSON") from error


def _read(fd: int, size: int) -> bytes:
    """The file's bytes, read and not mapped: the process could make it shorter meanwhile."""
    parts: list[bytes] = []
    at = 0
    while at < size and (part := os.pread(fd, min(READ_BYTES, size - at), at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _placed(
    checked: CheckedPlan, layout: Layout, base: int, returned: Sequence[ReturnedTensor]
) -> RecordedCall:
    inputs = [s for s in layout.slots if s.is_input]
    outputs = [s for s in layout.slots if s.name.startswith("out:")]
    if returned and len(returned) != len(outputs):
        raise NotRecordedError(f"{len(returned)} of {len(outputs)} outputs have a place")
    tensors = [_in_arena(slot, layout, base, is_output=False) for slot in inputs]
    strides: dict[str, tuple[int, ...]] = {}
    for number, slot in enumerate(outputs):
        if returned:
            tensors.append(_in_scratch(checked, slot, returned[number]))
            strides[slot.name] = tuple(returned[number].strides)
        else:
            tensors.append(_in_arena(slot, layout, base, is_output=True))
    return RecordedCall(checked, layout, tuple(tensors), strides)


def _in_arena(slot: Slot, layout: Layout, base: int, *, is_output: bool) -> CallTensor:
    return CallTensor(slot.name, base + layout.offsets[slot.name], slot.nbytes, is_output)


def _in_scratch(checked: CheckedPlan, slot: Slot, place: ReturnedTensor) -> CallTensor:
    """Where a returned tensor lies; it must be memory of the plan's."""
    if len(place.strides) != len(slot.shape):
        raise NotRecordedError(f"output {slot.name} was returned with other dimensions")
    nbytes = spanned_bytes(slot, place.strides)
    end = place.address + nbytes
    inside = any(
        r.address <= place.address and end <= r.address + r.nbytes for r in checked.plan.regions
    )
    if nbytes and not inside:
        raise NotRecordedError(f"output {slot.name} was returned in memory that no plan can have")
    return CallTensor(slot.name, place.address, nbytes, is_output=True)


def spanned_bytes(slot: Slot, strides: Sequence[int]) -> int:
    """Bytes from a strided tensor's first element to the end of its last."""
    if 0 in slot.shape:
        return 0
    last = sum((extent - 1) * stride for extent, stride in zip(slot.shape, strides, strict=True))
    return (last + 1) * slot.dtype.itemsize
