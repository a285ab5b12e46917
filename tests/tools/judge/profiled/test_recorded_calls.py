"""Calls for a profiler: recorded on the inputs that are written, or a reason for each workload."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.judge.profiled.recorded_calls import record_calls
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages.judge import CallsRecorded, RecordCalls, SeededWorkload
from kernel_harness.tools.messages.launch_plan import ARENA_BASE
from kernel_harness.tools.messages.profiler import ReplayRun, read_message
from kernel_harness.tools.schema.flashinfer_trace import Workload

from ....judging import AFFINE, make_solution, read_definition, read_workloads
from ..replay.test_recorded_call import FILE, PLAN, RecordingSession, file_of, place, wide_plan

CPU = torch.device("cpu")
SEED = 11
WORKLOADS = read_workloads(AFFINE)[1:3]


class Session(RecordingSession):
    """Records every call as the same plan, in a file of its own."""

    def __init__(self, answer: Any = None, **faults: Any) -> None:
        super().__init__(None)
        self.given, self.faults = answer, faults

    def ask(self, message: Any, fds: Any = ()) -> None:
        if isinstance(message, wire.CallRequest):
            self._answer = wire.Called(fault=self.faults.get("call"))
            return
        super().ask(message, fds)
        if isinstance(message, wire.BuildRequest):
            self._answer = wire.Built(fault=self.faults.get("build"))

    def recorded(self, timeout_s: float) -> Any:
        if self.given is not None:
            return self.given
        fd, nbytes = file_of(PLAN, FILE)
        return wire.Recorded(plan_bytes=nbytes), [fd]


def context_of(session: Session, not_sealed: str | None = None) -> Any:
    return SimpleNamespace(
        not_sealed=not_sealed,
        arch="90a",
        device=CPU,
        info=SimpleNamespace(memory_bytes=1 << 36),
        spawn_recorder=lambda: session,
        end_later=lambda end: end(),
    )


def asked(folder: Path) -> RecordCalls:
    solution = make_solution("def run(*_): pass", definition="affine_n64")
    return RecordCalls(
        request_id="r",
        definition=read_definition(AFFINE).model_dump(mode="json"),
        operator_dir=str(AFFINE),
        solution=solution.model_dump(mode="json"),
        content_hash=solution.content_hash(),
        workloads=[SeededWorkload(workload=w, seed=SEED) for w in WORKLOADS],
        folder=str(folder),
    )


def reasons(answer: CallsRecorded) -> list[str | None]:
    return [call.reason for call in answer.calls]


def test_a_call_of_each_workload_is_written_with_the_inputs_of_its_seed(tmp_path):
    session = Session()
    answer = record_calls(asked(tmp_path), context_of(session))
    assert reasons(answer) == [None, None] and session.closed
    assert set(answer.seconds) == {"inputs", "build", "first_call", "record", "write"}
    operator = OperatorAdapter(read_definition(AFFINE), AFFINE)
    for call, said in zip(answer.calls, WORKLOADS, strict=True):
        run = read_message(ReplayRun, Path(call.path or ""))
        assert run.plan == PLAN and (tmp_path / run.blobs_file).read_bytes() == FILE
        case = operator.case(Workload.model_validate(said))
        inputs = operator.make_inputs(case, SEED, operator.families[0], CPU)
        tensors = [v for v in inputs.values() if isinstance(v, torch.Tensor) and v.numel()]
        expected = b"".join(t.contiguous().view(torch.uint8).numpy().tobytes() for t in tensors)
        assert (tmp_path / run.inputs_file).read_bytes() == expected
        assert sum(place.nbytes for place in run.inputs) == len(expected)
        places = [*run.inputs, *run.outputs]
        end = ARENA_BASE + run.arena_bytes
        assert all(ARENA_BASE <= p.address and p.address + p.nbytes <= end for p in places)


def test_an_output_that_was_returned_is_poisoned_with_the_plans_own_memory(tmp_path):
    fd, nbytes = file_of(wide_plan(), FILE)
    returned = [place(4096, [64, 1]), place(40_960, [1])]
    session = Session((wire.Recorded(plan_bytes=nbytes, returned=returned), [fd]))
    request = asked(tmp_path)
    small = {**WORKLOADS[0], "axes": {"m": 17}}
    one = [SeededWorkload(workload=small, seed=SEED)]
    answer = record_calls(request.model_copy(update={"workloads": one}), context_of(session))
    assert reasons(answer) == [None]
    assert read_message(ReplayRun, Path(answer.calls[0].path or "")).outputs == []


FAULT = wire.CandidateFault(kind="exception", message="no such kernel")


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (Session(build=FAULT), "it could not be built: no such kernel"),
        (Session(call=FAULT), "the call fails: no such kernel"),
        (Session((wire.Recorded(reason="it waits for the device"), [])), "it waits for the device"),
        (Session(ProcessLost("crash", "It died.")), "It died."),
    ],
)
def test_what_cannot_be_recorded_has_a_reason_and_no_file(tmp_path, session, words):
    answer = record_calls(asked(tmp_path), context_of(session))
    assert all(words in (reason or "") for reason in reasons(answer))
    assert len(answer.calls) == len(WORKLOADS) and not list(tmp_path.iterdir())
    assert session.closed


def test_where_nothing_can_be_replayed_no_process_is_started(tmp_path):
    context = context_of(Session(), "there is no GPU to replay on")
    context.spawn_recorder = None
    assert set(reasons(record_calls(asked(tmp_path), context))) == {"there is no GPU to replay on"}
