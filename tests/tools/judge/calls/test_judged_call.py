"""One judged call: what the candidate is given, what is read back, and what it left in memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.judge.calls import judged_call as module
from kernel_harness.tools.judge.calls.compared_bytes import same_bits
from kernel_harness.tools.judge.calls.judged_call import (
    CallOptions,
    CallOutcome,
    has_outputs,
)
from kernel_harness.tools.judge.calls.poisons import POISONS, wear
from kernel_harness.tools.judge.numerics.mismatch import BIT_VIEW
from kernel_harness.tools.judge.numerics.packed import FLOAT4_PAIRS
from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.messages import candidate as wire

from ....judging import AFFINE, read_definition
from ..scripted import CASE, CPU, ScriptedSession, honest, input_set, judged_call

Touch = Callable[["Touching", wire.CallRequest], None]
LARGER = Case("larger", {"m": 70_000}, scalars={"alpha": 0.5})


class Touching(ScriptedSession):
    """A candidate that touches the shared memory before or after it answers."""

    def __init__(self, before: Touch | None = None, after: Touch | None = None) -> None:
        super().__init__(honest)
        self._before, self._after = before, after

    def _call(self, request: wire.CallRequest) -> wire.Called | ProcessLost:
        if self._before is not None:
            self._before(self, request)
        answer = super()._call(request)
        if self._after is not None:
            self._after(self, request)
        return answer

    def tensor(self, ref: Any) -> torch.Tensor:
        return self._view(ref)

    def byte(self, offset: int) -> torch.Tensor:
        return self._flat[offset : offset + 1]


def called(session: ScriptedSession, **options: Any) -> CallOutcome:
    outcome = judged_call(session).call(input_set(), CallOptions(**options))
    assert isinstance(outcome, CallOutcome)
    return outcome


def test_a_candidate_gets_the_inputs_in_the_definitions_order_and_scalars_by_value():
    given = input_set()
    seen: list[torch.Tensor] = []

    def look(session: Touching, request: wire.CallRequest) -> None:
        seen.extend(session.tensor(ref).clone() for ref in request.arguments[:3])

    session = Touching(before=look)
    judged_call(session).call(given, CallOptions())
    due = [v for v in given.inputs.values() if isinstance(v, torch.Tensor)]
    assert all(same_bits(value, tensor) for value, tensor in zip(due, seen, strict=True))
    assert session.requests[0].arguments[3] == wire.ScalarValue(value=0.5)


def test_only_inputs_that_a_call_may_write_to_may_be_returned():
    session = ScriptedSession(honest)
    for mutable in ((), ("w",), ("table", "x")):
        judged_call(session).call(replace(input_set(), mutable=mutable), CallOptions())
    assert [request.returnable for request in session.requests] == [[], [1], [0, 2]]


def test_a_clean_call_gives_the_outputs_and_no_mark():
    given = input_set()
    outcome = judged_call(ScriptedSession(honest)).call(given, CallOptions())
    assert isinstance(outcome, CallOutcome)
    y, row = honest(*given.inputs.values())
    assert same_bits(outcome.outputs["y"], y) and same_bits(outcome.outputs["row"], row)
    assert (outcome.changed_late, outcome.mutated, outcome.damage) == ([], [], [])
    assert outcome.elapsed_ns > 0 and outcome.claims.outputs == {}


@pytest.mark.parametrize("poison", [0, 1])
def test_every_output_and_copy_holds_the_pattern_before_the_call(poison):
    found: set[int] = set()

    def look(session: Touching, request: wire.CallRequest) -> None:
        for ref in (*request.outputs, *request.snapshots, *request.late):
            found.update(session.tensor(ref).view(torch.int32).flatten().tolist())

    outcome = called(Touching(before=look), poison=poison)
    pattern = POISONS[torch.float32][poison]
    assert found == {pattern} and outcome.poisons == {"y": pattern, "row": pattern}


@pytest.mark.parametrize(
    "dtype", [d for d in POISONS if d.is_floating_point and d != FLOAT4_PAIRS], ids=str
)
def test_one_pattern_is_a_nan_and_the_other_a_large_number(dtype):
    bits = BIT_VIEW[dtype.itemsize]
    nan, large = (torch.tensor([p], dtype=bits).view(dtype).double() for p in POISONS[dtype])
    assert nan.isnan().all()
    assert large.isfinite().all() and large > torch.finfo(dtype).max / 1e9


@pytest.mark.parametrize("dtype", POISONS, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (300, 2)], ids=str)
def test_worn_memory_holds_no_pattern(dtype, shape):
    tensor = torch.zeros((*shape, dtype.itemsize), dtype=torch.uint8).view(dtype)[..., 0]
    wear(tensor)
    raw = tensor.reshape(-1).view(torch.uint8)
    assert dtype == torch.bool or len(raw) < 100 or len(raw.unique()) > 50
    assert dtype != torch.bool or bool((raw <= 1).all())


def test_outputs_are_those_at_the_end_of_the_call_whatever_is_written_later():
    places: list[torch.Tensor] = []

    def before(session: Touching, request: wire.CallRequest) -> None:
        places.extend(session.tensor(ref) for ref in request.snapshots)

    session = Touching(before=before)
    outcome = called(session)
    first = {name: tensor.clone() for name, tensor in outcome.outputs.items()}
    for place in places:
        place.zero_()
    assert all(same_bits(first[name], tensor) for name, tensor in outcome.outputs.items())


def test_an_output_that_was_still_written_after_the_call_is_marked():
    def after(session: Touching, request: wire.CallRequest) -> None:
        session.tensor(request.late[1])[0] += 1

    assert called(Touching(after=after)).changed_late == ["row"]
    assert called(Touching(after=lambda s, r: None)).changed_late == []


def test_a_call_without_late_copies_asks_for_none():
    session = ScriptedSession(honest)
    assert called(session, late=False).changed_late == []
    assert session.requests[0].late == [] and len(session.requests[0].snapshots) == 2


def test_a_changed_input_is_marked_by_its_bytes_and_not_by_its_value():
    def after(session: Touching, request: wire.CallRequest) -> None:
        x = session.tensor(request.arguments[0])
        x[0, 0] = 0.0
        x[0, 0] *= -1.0

    given = input_set()
    x = given.inputs["x"]
    assert isinstance(x, torch.Tensor)
    x[0, 0] = 0.0
    outcome = judged_call(Touching(after=after)).call(given, CallOptions())
    assert isinstance(outcome, CallOutcome) and outcome.mutated == ["x"]


@pytest.mark.parametrize(("side", "distance"), [("before", 3), ("after", 5)])
def test_a_stray_write_is_marked_with_its_side_and_distance(side, distance):
    def after(session: Touching, request: wire.CallRequest) -> None:
        ref = request.outputs[1]
        end = ref.offset + 4 * ref.shape[0]
        byte = session.byte(ref.offset - distance if side == "before" else end + distance - 1)
        byte ^= 1

    (damage,) = called(Touching(after=after)).damage
    assert (damage.slot, damage.side, damage.nearest) == ("out:row", side, distance)


def test_a_call_that_is_not_examined_reads_nothing_back():
    def after(session: Touching, request: wire.CallRequest) -> None:
        session.tensor(request.arguments[0]).zero_()

    outcome = called(Touching(after=after), examine=False, defer=4)
    assert (outcome.outputs, outcome.mutated, outcome.number) == ({}, [], 4)


def test_a_lost_process_is_returned_as_such():
    lost = ProcessLost("timeout", "It did not answer.")
    call = judged_call(ScriptedSession(honest, lost_at=(1, lost)))
    assert call.call(input_set(), CallOptions()) is lost


def test_addresses_differ_from_call_to_call_unless_those_of_a_call_are_asked_for():
    call = judged_call(ScriptedSession(honest))
    first = call.call(input_set(), CallOptions())
    assert isinstance(first, CallOutcome)
    other = call.call(input_set(), CallOptions())
    again = call.call(input_set(), CallOptions(), at=first.layout)
    assert isinstance(other, CallOutcome) and isinstance(again, CallOutcome)
    assert other.layout.offsets != first.layout.offsets == again.layout.offsets
    assert again.damage == [] and again.mutated == []


def test_inputs_that_do_not_fit_the_device_are_the_harness_fault(monkeypatch):
    def full(pairs: Any) -> None:
        raise RuntimeError("CUDA out of memory\nand much more")

    call = judged_call(ScriptedSession(honest))
    monkeypatch.setattr(module, "copy_bytes", full)
    with pytest.raises(InfrastructureError, match="CUDA out of memory") as found:
        call.call(input_set(), CallOptions())
    assert "much more" not in str(found.value)


class Counting(ScriptedSession):
    """Counts the arenas that it is sent."""

    arenas: int = 0

    def ask(self, message: Any, fds: Any = ()) -> None:
        self.arenas += isinstance(message, wire.MapArena)
        super().ask(message, fds)


def test_an_arena_is_mapped_again_only_for_a_case_that_it_cannot_hold():
    session = Counting(honest)
    call = judged_call(session)
    assert call.map([CASE]) is None and session.arenas == 1
    assert call.map([CASE, LARGER]) is None and session.arenas == 2
    assert isinstance(call.call(input_set(LARGER), CallOptions()), CallOutcome)


def test_a_process_that_is_lost_while_it_maps_is_returned():
    class Lost(ScriptedSession):
        def answer(self, kind: Any, timeout_s: float) -> Any:
            return ProcessLost("crash", "It died.", -9)

    call = module.JudgedCall(
        Lost(honest), read_definition(AFFINE), CPU, random.Random(1), by_destination=True
    )
    assert isinstance(call.map([CASE]), ProcessLost)


def test_deferred_times_come_by_the_number_of_their_call():
    call = judged_call(ScriptedSession(honest, [5_000, 7_000]))
    for number in (3, 8):
        call.call(input_set(), CallOptions(time="cold", defer=number))
    times = call.collect()
    assert not isinstance(times, ProcessLost)
    assert {number: one.span_ns for number, one in times.items()} == {3: 5_000, 8: 7_000}


def test_inputs_can_be_placed_without_a_call():
    session, given = ScriptedSession(honest), input_set()
    layout = judged_call(session).placed(given)
    x = given.inputs["x"]
    assert isinstance(x, torch.Tensor)
    assert same_bits(layout.tensor("in:x"), x) and session.requests == []


def test_closing_ends_the_candidate_and_twice_does_no_harm():
    session = ScriptedSession(honest)
    call = judged_call(session)
    call.close()
    call.close()
    assert session.closed


@pytest.mark.parametrize(("m", "has"), [(0, False), (1, True)])
def test_only_a_case_with_elements_has_outputs(m, has):
    assert has_outputs(read_definition(AFFINE), Case("w", {"m": m})) is has


class OnlySnapshots(ScriptedSession):
    """Writes the judge's copies, and not the buffers that they should be copies of."""

    def ask(self, message, fds=()):
        if message.kind == "call":
            message = message.model_copy(update={"outputs": []})
        super().ask(message, fds)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(
    ("session", "by_destination", "changed"),
    [
        (ScriptedSession, True, []),
        (OnlySnapshots, True, ["y", "row"]),
        (OnlySnapshots, False, []),
    ],
)
def test_the_callers_buffers_hold_what_is_judged(session, by_destination, changed, late):
    call = judged_call(session(honest), by_destination=by_destination)
    outcome = call.call(input_set(), CallOptions(late=late))
    assert isinstance(outcome, CallOutcome)
    assert outcome.changed_late == changed


def test_something_else_can_be_done_while_one_answer_is_awaited():
    journal: list[tuple[str, str]] = []
    call = judged_call(ScriptedSession(honest, journal=journal))
    told: list[bool] = []
    call.meanwhile = lambda waits: told.append(waits())
    inputs = input_set()
    for _ in range(2):
        assert isinstance(call.call(inputs, CallOptions()), CallOutcome)
    assert told == [False], "a script has answered at once"
