"""Inputs are placed, outputs read and guards looked at around replays; the runner is scripted."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import slots_of
from kernel_harness.tools.judge.calls.shared_memory import HostMemory, SharedArena, place
from kernel_harness.tools.judge.machine import clock_rate
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.replay import program_runner
from kernel_harness.tools.judge.replay.memory.placed_values import pattern_of
from kernel_harness.tools.judge.replay.program_runner import ProgramRunner, witness_batches
from kernel_harness.tools.judge.replay.recorded_call import RecordedCall
from kernel_harness.tools.judge.replay.session import CallTensor, stage
from kernel_harness.tools.judge.replay.validation import CheckedPlan
from kernel_harness.tools.messages.launch_plan import ARENA_BASE
from kernel_harness.tools.messages.runner import Replay, Replayed, ReplayTimes

from ....judging import AFFINE, read_definition
from ...messages.plans import plan_of

CPU = torch.device("cpu")
CASE = Case("affine-17", {"m": 17}, scalars={"alpha": 0.5})
ARENA = 1 << 20
OPERATOR = OperatorAdapter(read_definition(AFFINE), AFFINE)
GENERATOR = InputGenerator(OPERATOR, CPU, SeedBook(), PrefetchedInputs(1 << 20))
Kernel = Callable[[dict[str, torch.Tensor], SharedArena], None]


def honest(tensors: dict[str, torch.Tensor], _arena: Any) -> None:
    y = tensors["in:x"][tensors["in:table"].long()] * tensors["in:w"] * 0.5 + 1.0
    tensors["out:y"].copy_(y)
    tensors["out:row"].copy_(y.sum(dim=-1))


def nothing(_tensors: Any, _arena: Any) -> None:
    pass


def changes_an_input(tensors: dict[str, torch.Tensor], arena: Any) -> None:
    honest(tensors, arena)
    tensors["in:x"][0, 0] += 1


def writes_too_far(tensors: dict[str, torch.Tensor], arena: Any) -> None:
    honest(tensors, arena)
    offset = tensors["out:row"].storage_offset() * 4 + 17 * 4
    arena.memory.bytes[offset] += 1


class ScriptedSession:
    """Does on the shared memory what a runner does."""

    def __init__(self, recorded: RecordedCall, kernel: Kernel) -> None:
        self.staging, self.most_calls = stage(recorded.tensors), 8
        self._recorded, self._kernel = recorded, kernel
        self.total_ns = self.made = 0
        self.arena: Any = None
        self.staged: Any = None

    def replay(self, poison: list[int], flushes: list[str]) -> None:
        self.made = len(poison)
        layout = self._recorded.layout
        flat = self.arena.memory.bytes
        for call, byte in enumerate(poison):
            tensors: dict[str, torch.Tensor] = {}
            for slot in layout.slots:
                begin = layout.offsets[slot.name]
                view = flat[begin : begin + slot.nbytes]
                tensors[slot.name] = view.view(slot.dtype).view(slot.shape)
                if slot.is_input:
                    view.copy_(self._place(call, slot.name, slot.nbytes))
                elif slot.name.startswith("out:"):
                    view.fill_(byte)
            self._kernel(tensors, self.arena)
            for slot in layout.slots:
                if slot.name.startswith("out:"):
                    begin = layout.offsets[slot.name]
                    out = flat[begin : begin + slot.nbytes]
                    self._place(call, slot.name, slot.nbytes).copy_(out)

    def times(self) -> list[ReplayTimes]:
        return [ReplayTimes(span_ns=10)] * self.made

    def _place(self, call: int, name: str, nbytes: int) -> torch.Tensor:
        begin = self.staging.offset(call, name)
        return self.staged[begin : begin + nbytes]


@pytest.fixture
def runner_of(monkeypatch):
    monkeypatch.setattr(program_runner, "DeviceMemory", lambda nbytes, _: HostMemory(nbytes))

    def make(kernel: Kernel) -> ProgramRunner:
        slots = slots_of(OPERATOR.definition, CASE)
        layout = SharedArena(HostMemory(ARENA), random.Random(1)).at(
            slots, place(slots, ARENA, random.Random(2))
        )
        kept = [s for s in slots if s.name.startswith(("in:", "out:"))]
        tensors = tuple(
            CallTensor(s.name, ARENA_BASE + layout.offsets[s.name], s.nbytes, not s.is_input)
            for s in kept
        )
        plan, file = plan_of(b"a cubin")
        recorded = RecordedCall(CheckedPlan(plan, (file,)), layout, tensors, {})
        session = ScriptedSession(recorded, kernel)

        class Mapped:
            def __init__(self, *arguments: Any) -> None:
                pass

            def load(self, *arguments: Any) -> ScriptedSession:
                return session

        monkeypatch.setattr(program_runner, "MappedRunner", Mapped)
        made = ProgramRunner(None, CPU, ARENA_BASE, ARENA, 8 * session.staging.call_bytes)  # pyright: ignore[reportArgumentType]
        session.arena, session.staged = made._arena, made._staging
        made.load(recorded)
        return made

    return make


def test_every_call_has_its_own_inputs_and_outputs(runner_of):
    sets = [GENERATOR.generate(CASE) for _ in range(3)]
    calls = runner_of(honest).replay(sets, [0xFF, 0xA5, 0x7E], ["fill"] * 3)
    for input_set, call in zip(sets, calls, strict=True):
        torch.testing.assert_close(
            call.outputs["y"].double(), input_set.expected["y"].double(), rtol=1e-3, atol=1e-3
        )
        assert not call.mutated and not call.damage
    assert not torch.equal(calls[0].outputs["y"], calls[1].outputs["y"])


def test_what_a_call_does_not_write_holds_its_poison(runner_of):
    inputs = [GENERATOR.generate(CASE)] * 2
    first, second = runner_of(nothing).replay(inputs, [0xFF, 0xA5], ["fill"] * 2)
    for call, byte in ((first, 0xFF), (second, 0xA5)):
        assert (call.outputs["row"].view(torch.uint8) == byte).all()
        assert call.poisons["row"] == int.from_bytes(bytes([byte] * 4), "little")


def test_a_changed_input_and_a_write_out_of_bounds_are_seen(runner_of):
    sets = [GENERATOR.generate(CASE) for _ in range(2)]
    given = sets, [0xFF, 0xA5], ["fill"] * 2
    assert runner_of(changes_an_input).replay(*given)[-1].mutated == ("x",)
    damage = runner_of(writes_too_far).replay(*given)[-1].damage
    assert [(d.slot, d.side) for d in damage] == [("out:row", "after")]


def test_a_pattern_repeats_its_byte():
    (slot,) = [s for s in slots_of(OPERATOR.definition, CASE) if s.name == "out:row"]
    assert pattern_of(0x5A, slot) == 0x5A5A5A5A


class Yardsticks:
    """A runner whose yardstick takes these spans in turn, the last one from then on."""

    def __init__(self, *spans: int | None) -> None:
        self.spans, self.asked = list(spans), 0

    def replayed(self, request: Replay, timeout_s: float) -> Replayed:
        assert request.program == "yardstick"
        self.asked += 1
        span = self.spans.pop(0) if len(self.spans) > 1 else self.spans[0]
        return Replayed(times=[ReplayTimes(span_ns=span)] * len(request.calls))


@pytest.mark.parametrize(
    ("spans", "least", "asked", "found"),
    [
        ((10_100,), 10_000, 1, 10_000),
        ((9_900,), 10_000, 1, 9_900),
        ((13_000, 11_000, 10_050), 10_000, 3, 10_000),
        ((None,), 10_000, 1, 10_000),
    ],
)
def test_a_clock_that_others_have_slowed_is_waited_for(runner_of, spans, least, asked, found):
    runner = runner_of(honest)
    runner._runner = scripted = Yardsticks(*spans)
    assert runner.wait_for_clock(least) == found
    assert scripted.asked == asked


@pytest.fixture
def ticking(monkeypatch) -> None:
    """Time passes by a millisecond each time that somebody looks, however busy the machine is."""
    milliseconds = itertools.count()
    monkeypatch.setattr(clock_rate.time, "monotonic", lambda: next(milliseconds) / 1e3)


@pytest.mark.usefixtures("ticking")
def test_a_clock_that_stays_slow_is_the_usual_one_from_then_on(runner_of, monkeypatch):
    monkeypatch.setattr(clock_rate, "CLOCK_WAIT_S", 0.01)
    runner = runner_of(honest)
    runner._runner = scripted = Yardsticks(12_000)
    assert runner.wait_for_clock(10_000) == 12_000
    assert scripted.asked > 1
    assert runner.wait_for_clock(12_000) == 12_000


@pytest.mark.usefixtures("ticking")
def test_a_first_runner_waits_for_a_steady_clock(runner_of, monkeypatch):
    monkeypatch.setattr(clock_rate, "STEADY_S", 0.01)
    runner = runner_of(honest)
    runner._runner = scripted = Yardsticks(*[13_000] * 5, 11_000, 10_050, 10_000)
    assert runner.wait_for_clock(None) == 10_000
    assert scripted.spans == [10_000]


@pytest.mark.parametrize(
    ("span_us", "calls"), [(0, 40), (5, 40), (100, 40), (150, 27), (199, 21), (200, 1), (8_000, 1)]
)
def test_the_witness_makes_fewer_calls_of_those_that_take_long(span_us, calls):
    assert witness_batches(1_000.0 * span_us).calls == calls


def test_calls_that_take_very_long_are_made_one_by_one_with_pauses_as_they_are_timed():
    short, long = witness_batches(150_000.0), witness_batches(1_500_000.0)
    assert short.pause_s == 0.0 and long.pause_s > 0.0
    assert long.count > short.count
