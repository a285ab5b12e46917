"""What a process says it recorded is read from a copy, bounded and checked."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import JudgedCall
from kernel_harness.tools.judge.calls.shared_memory import Slot
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.judge.replay import recorded_call
from kernel_harness.tools.judge.replay.recorded_call import (
    NotRecordedError,
    RecordedCall,
    begin_recording,
    finish_recording,
    spanned_bytes,
)
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages.launch_plan import ARENA_BASE, RESERVATION_BASE, LaunchPlan

from ....judging import AFFINE, read_definition
from ...driver.fakes import make_cubin
from ...messages.plans import plan_with_scratch
from ..scripted import ScriptedSession

CPU = torch.device("cpu")
CASE = Case("affine-17", {"m": 17}, scalars={"alpha": 0.5})
PLAN, FILE = plan_with_scratch(make_cubin(("first",), {"counter": 4}))
Y_BYTES, ROW_BYTES = 17 * 64 * 4, 17 * 4


def file_of(plan: LaunchPlan | bytes, blobs: bytes) -> tuple[int, int]:
    said = plan if isinstance(plan, bytes) else plan.model_dump_json().encode()
    fd = os.memfd_create("plan")
    os.write(fd, said + blobs)
    return fd, len(said)


class RecordingSession(ScriptedSession):
    """Answers a request to record with what it was given."""

    def __init__(self, answer: Any) -> None:
        super().__init__(lambda *a: ())
        self.recording = answer
        self.asked: list[wire.RecordRequest] = []

    def ask(self, message: Any, fds: Any = ()) -> None:
        if isinstance(message, wire.RecordRequest):
            self.asked.append(message)
        else:
            super().ask(message, fds)

    def recorded(self, timeout_s: float) -> Any:
        return self.recording


def record(answer: Any) -> RecordedCall:
    operator = OperatorAdapter(read_definition(AFFINE), AFFINE)
    generator = InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(1 << 20))
    session = RecordingSession(answer)
    judged_call = JudgedCall(
        session,
        operator.definition,
        CPU,
        random.Random(3),
        by_destination=True,
        arena_address=ARENA_BASE,
    )
    assert judged_call.map([CASE]) is None
    layout = begin_recording(judged_call, generator.generate(CASE))
    return finish_recording(
        judged_call,
        layout,
        architecture="sm_90",
        scratch_bytes=1 << 30,
        timeout_s=5.0,
    )


def recording(returned: Any = (), plan: LaunchPlan | bytes = PLAN, blobs: bytes = FILE) -> Any:
    fd, nbytes = file_of(plan, blobs)
    return wire.Recorded(plan_bytes=nbytes, returned=list(returned)), [fd]


def test_a_plan_has_its_tensors_where_the_process_that_recorded_had_them():
    answer = recording()
    found = record(answer)
    assert found.checked.plan == PLAN
    by_name = {t.name: t for t in found.tensors}
    assert set(by_name) == {"in:x", "in:w", "in:table", "out:y", "out:row"}
    for tensor in found.tensors:
        assert tensor.address == ARENA_BASE + found.layout.offsets[tensor.name]
        assert tensor.is_output == tensor.name.startswith("out:")
    assert by_name["out:y"].nbytes == Y_BYTES
    with pytest.raises(OSError):
        os.fstat(answer[1][0])


def place(offset: int, strides: list[int]) -> wire.ReturnedTensor:
    return wire.ReturnedTensor(address=RESERVATION_BASE + offset, strides=strides)


def wide_plan() -> LaunchPlan:
    regions = [PLAN.regions[0], PLAN.regions[1].model_copy(update={"nbytes": 1 << 16})]
    return PLAN.model_copy(update={"regions": regions})


def test_a_returned_output_lies_in_memory_of_the_plan_with_the_strides_that_it_has():
    found = record(recording([place(4096, [1, 17]), place(20_480, [1])], wide_plan()))
    y, row = (t for t in found.tensors if t.is_output)
    assert (y.address, y.nbytes) == (RESERVATION_BASE + 4096, Y_BYTES)
    assert (row.address, row.nbytes) == (RESERVATION_BASE + 20_480, ROW_BYTES)
    assert found.strides == {"out:y": (1, 17), "out:row": (1,)}


def test_what_was_returned_has_no_place_that_another_call_must_have():
    given = record(recording())
    assert {name for name, _, _ in given.places} == {t.name for t in given.tensors}
    returned = record(recording([place(4096, [1, 17]), place(20_480, [1])], wide_plan()))
    assert {name for name, _, _ in returned.places} == {"in:x", "in:w", "in:table"}


FORGED = [
    pytest.param([place(1 << 20, [64, 1]), place(20_480, [1])], "no plan can have", id="elsewhere"),
    pytest.param([place(4096, [1 << 40, 1]), place(20_480, [1])], "no plan can", id="strides"),
    pytest.param([place(4096, [1]), place(20_480, [1])], "other dimensions", id="dimensions"),
    pytest.param([place(4096, [64, 1])], "1 of 2 outputs", id="count"),
]


@pytest.mark.parametrize(("returned", "words"), FORGED)
def test_an_output_said_to_lie_elsewhere_is_refused(returned, words):
    with pytest.raises(NotRecordedError, match=words):
        record(recording(returned, wide_plan()))


def without_its_file() -> Any:
    return wire.Recorded(plan_bytes=10), []


def of_another_length() -> Any:
    fd, nbytes = file_of(PLAN, FILE)
    return wire.Recorded(plan_bytes=nbytes + len(FILE) + 1), [fd]


REFUSED = [
    pytest.param(lambda: (wire.Recorded(reason="it waits"), []), "it waits", id="a reason"),
    pytest.param(without_its_file, "without its file", id="no file"),
    pytest.param(of_another_length, "bytes", id="length"),
    pytest.param(lambda: recording(plan=b"[" * 100_000), "not JSON", id="nested"),
    pytest.param(lambda: recording(plan=b"\xff\xfe{}"), "not JSON", id="no text"),
    pytest.param(lambda: recording(plan=b"{}"), "not valid", id="no plan"),
    pytest.param(lambda: recording(blobs=FILE[:-1]), "not valid", id="blobs"),
    pytest.param(lambda: ProcessLost("crash", "It ended."), "It ended", id="lost"),
]


@pytest.mark.parametrize(("answer", "words"), REFUSED)
def test_what_is_no_plan_is_refused_with_the_reason(answer, words):
    with pytest.raises(NotRecordedError, match=words):
        record(answer())


def test_a_file_that_is_longer_than_any_plan_is_not_read(monkeypatch):
    answer = recording()
    monkeypatch.setattr(recorded_call, "MOST_PLAN_BYTES", answer[0].plan_bytes)
    for most in ("MOST_MODULE_BYTES", "MOST_CONTENT_BYTES"):
        monkeypatch.setattr(recorded_call, most, 0)
    with pytest.raises(NotRecordedError, match="bytes"):
        record(answer)


@pytest.mark.parametrize(
    ("shape", "strides", "nbytes"),
    [((3, 4), (4, 1), 48), ((3, 4), (1, 3), 48), ((3, 4), (8, 1), 80), ((0, 4), (4, 1), 0)],
)
def test_the_bytes_that_a_strided_tensor_spans(shape, strides, nbytes):
    slot = Slot("out:y", shape, torch.float32, "float32")
    assert spanned_bytes(slot, strides) == nbytes
