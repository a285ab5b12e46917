"""Records one call of a solution on each workload and writes it to files, for a profiler.

A call is recorded on the very inputs that it is replayed on: nothing is proven here, and what host
code derives from values is then right. Whether the call's outputs are right is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from ...messages.judge import CallsRecorded, RecordCalls, RecordedFile
from ...messages.launch_plan import ARENA_BASE
from ...messages.profiler import PlacedBytes, ReplayRun, write_message
from ..calls.judged_call import CallOptions
from ..operators.input_sets import InputSet
from ..processes.context import JudgeContext
from ..processes.lost import ProcessLost
from ..replay.recorded_call import (
    SCRATCH_SHARE,
    NotRecordedError,
    RecordedCall,
    begin_recording,
    finish_recording,
)
from .called_solution import CalledSolution

READABLE = 0o644


def record_calls(request: RecordCalls, context: JudgeContext) -> CallsRecorded:
    """Records the calls; where one could not be recorded the answer says why.

    Raises:
        HarnessError: when the operator or the harness failed.
    """
    if context.not_sealed is not None:
        return not_recorded(request, context.not_sealed)
    recording = _Recording(request, context, context.spawn_recorder(), ARENA_BASE)
    try:
        calls = recording.calls()
    finally:
        context.end_later(recording.close)
    return CallsRecorded(
        request_id=request.request_id, calls=calls, seconds=recording.times.seconds
    )


class _Recording(CalledSolution):
    """One process that records the calls of a request."""

    def calls(self) -> list[RecordedFile]:
        """Builds, then records a call of each workload."""
        input_sets, fault = self.built()
        if fault is not None:
            return [RecordedFile(reason=fault)] * len(input_sets)
        found: list[RecordedFile] = []
        for number, input_set in enumerate(input_sets):
            try:
                recorded = self._recorded(input_set)
            except NotRecordedError as error:
                found.append(RecordedFile(reason=str(error)))
                if error.final:
                    return found + found[-1:] * (len(input_sets) - len(found))
                continue
            with self.times.measured("write"):
                path = self._written(number, recorded, input_set)
            found.append(RecordedFile(path=str(path)))
        return found

    def _recorded(self, input_set: InputSet) -> RecordedCall:
        """The recorded call, after an ordinary one in which kernels are compiled and tuned.

        Raises:
            NotRecordedError: when there is no plan.
        """
        timeout_s = self.request.call_timeout_s
        options = CallOptions(late=False, examine=False, timeout_s=timeout_s)
        with self.times.measured("first_call"):
            outcome = self.judged_call.call(input_set, options)
        if isinstance(outcome, ProcessLost):
            raise NotRecordedError(f"its process was lost: {outcome.detail}", final=True)
        if outcome.called.fault is not None:
            raise NotRecordedError(f"the call fails: {outcome.called.fault.message}")
        with self.times.measured("record"):
            return finish_recording(
                self.judged_call,
                begin_recording(self.judged_call, input_set),
                architecture=f"sm_{(self.context.arch or '').rstrip('af')}",
                scratch_bytes=int(SCRATCH_SHARE * (self.context.info.memory_bytes or 0)),
                timeout_s=timeout_s,
            )

    def _written(self, number: int, recorded: RecordedCall, input_set: InputSet) -> Path:
        files = CallFiles(Path(self.request.folder), number)
        files.write(
            recorded,
            input_set,
            device_index=self.context.device.index or 0,
            arena_bytes=self.judged_call.arena_bytes,
        )
        return files.run


@dataclass(frozen=True)
class CallFiles:
    """The files of one recorded call, whose names begin with its number."""

    folder: Path
    number: int

    @property
    def run(self) -> Path:
        """The `ReplayRun`, which is written last."""
        return self.folder / f"call-{self.number}.json"

    def write(
        self, recorded: RecordedCall, input_set: InputSet, *, device_index: int, arena_bytes: int
    ) -> None:
        """Writes plan, blobs and inputs.

        Raises:
            OSError: when one cannot be written.
        """
        plan, blobs = recorded.checked.plan, recorded.checked.blobs
        blobs_file = self.folder / f"call-{self.number}.blobs"
        inputs_file = self.folder / f"call-{self.number}.inputs"
        with blobs_file.open("wb") as file:
            file.writelines(blobs)
        filled = [tensor for tensor in recorded.tensors if tensor.nbytes]
        inputs = [tensor for tensor in filled if not tensor.is_output]
        with inputs_file.open("wb") as file:
            for tensor in inputs:
                _write_tensor(file, input_set.inputs[tensor.name.partition(":")[2]])
        for path in (blobs_file, inputs_file):
            path.chmod(READABLE)
        run = ReplayRun(
            device_index=device_index,
            plan=plan,
            blobs_file=blobs_file.name,
            arena_bytes=arena_bytes,
            inputs=[PlacedBytes(address=t.address, nbytes=t.nbytes) for t in inputs],
            inputs_file=inputs_file.name,
            # A returned output lies in the plan's own memory, which is poisoned as a whole.
            outputs=[
                PlacedBytes(address=t.address, nbytes=t.nbytes)
                for t in filled
                if t.is_output and t.address >= ARENA_BASE
            ],
            answer_file=f"call-{self.number}.answer.json",
        )
        write_message(run, self.run)


def _write_tensor(file: BinaryIO, value: object) -> None:
    assert isinstance(value, torch.Tensor)
    flat = value.contiguous().flatten().view(torch.uint8).cpu()
    flat.numpy().tofile(file)


def not_recorded(request: RecordCalls, words: str) -> CallsRecorded:
    """The answer where recording failed as a whole."""
    calls = [RecordedFile(reason=words[:1_000])] * len(request.workloads)
    return CallsRecorded(request_id=request.request_id, calls=calls)
