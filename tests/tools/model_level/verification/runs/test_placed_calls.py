"""Calls go where a step's turn has them, once each, and are timed in steps alone."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest
import torch

from kernel_harness.tools.model_level import delayed_device
from kernel_harness.tools.model_level.verification.applications import put
from kernel_harness.tools.model_level.verification.runs import placed_calls, step_timing
from kernel_harness.tools.model_level.verification.runs.placed_calls import (
    MadeCall,
    NotedCall,
    PlacedSteps,
    PlacedTarget,
    StepKind,
)
from kernel_harness.tools.model_level.verification.runs.repeated_calls import timed_calls
from kernel_harness.tools.model_level.verification.verified_runs import KernelTarget

from ....applying.conftest import write_folder  # noqa: F401, of the tests here
from ...simulated_gpu import SimulatedGPU

TWICE = "def run(x, w, alpha, y):\n    y.copy_(x * w * alpha).mul_(2)\n"
"""Tells by its results that it was called."""
W = torch.ones(8)


@pytest.fixture
def program(monkeypatch):
    module: Any = ModuleType("placed_program")

    def scaled(x: Any, w: Any, alpha: float = 1.0) -> Any:
        if x is None:
            raise ValueError("as ever")
        return x * w * alpha

    module.scaled = scaled
    module.block = lambda x: module.scaled(x, W)
    monkeypatch.setitem(sys.modules, "placed_program", module)
    return module


@pytest.fixture
def placed(program, write_folder):  # noqa: F811
    steps = PlacedSteps(2)
    target = KernelTarget("placed_program.scaled")
    one = PlacedTarget(target.target, put(target, write_folder(TWICE)), steps)
    yield one, steps
    one.remove()


def x_of(m: int = 4) -> torch.Tensor:
    return torch.ones(m, 8)


def step(steps: PlacedSteps, act: Any) -> Any:
    steps.begin(None)
    try:
        return act()
    finally:
        steps.end(None)


def test_steps_take_turns_after_both_ways_are_warm(program, placed):
    one, steps = placed
    found = [step(steps, lambda: program.block(x_of())[0, 0].item()) for _ in range(9)]
    assert found == [2, 1, 2, 1, 1, 2, 1, 1, 2]
    (call,) = one.calls.values()
    assert call.count == 5 and steps.timed_steps == 5
    assert [turn.place for turn in steps.turns] == [2, 5]
    times = call.times(3)
    assert all(times.kernel) and all(times.original[:2]) and times.original[2] is None
    one.remove()
    (timed,) = timed_calls(one, steps)
    assert timed.calls == 1.0 and timed.drift.relative == 1.0
    assert len(timed.placed.original) == len(timed.placed.kernel) == 2
    assert program.scaled(x_of(), W)[0, 0] == 1


def test_calls_outside_of_steps_are_left_alone(program, placed):
    one, steps = placed
    assert program.scaled(x_of(), W)[0, 0] == 1 and not one.calls
    for _ in range(2):
        step(steps, lambda: None)
    assert program.scaled(x_of(), W)[0, 0] == 1 and not one.calls


def test_a_call_within_another_is_that_ones(program, placed, write_folder):  # noqa: F811
    one, steps = placed
    outer = KernelTarget("placed_program.block", None, {"x": "x", "w": "x.w", "alpha": "x.alpha"})
    x = x_of(1)  # no size that is proven, so that the outer original calls the inner kernel
    x.w, x.alpha = W, 1.0  # type: ignore[attr-defined]
    around = PlacedTarget(outer.target, put(outer, write_folder(TWICE)), steps)
    try:
        for _ in range(6):
            step(steps, lambda: program.block(x))
    finally:
        around.remove()
    assert not one.calls
    (call,) = around.calls.values()
    assert call.count == 3


def test_exceptions_pass_and_the_next_call_is_timed(program, placed):
    one, steps = placed
    for _ in range(3):
        with pytest.raises(ValueError, match="as ever"):
            step(steps, lambda: program.scaled(None, W))
    step(steps, lambda: program.scaled(x_of(), W))
    assert [call.count for call in one.calls.values()] == [0, 1]
    assert len(timed_calls(one, steps)) == 1


def test_threads_are_timed_each(program, placed):
    one, steps = placed

    def act() -> None:
        threads = [threading.Thread(target=program.block, args=(x_of(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for _ in range(4):
        step(steps, act)
    (call,) = one.calls.values()
    assert call.count == 8


def test_a_thread_may_note_a_call_while_a_step_ends(program, placed, monkeypatch):
    one, steps = placed
    for _ in range(2):
        step(steps, lambda: program.block(x_of()))
    made_since = NotedCall.made_since

    def asked(call: NotedCall) -> list[MadeCall]:
        one.calls.setdefault("of a thread", NotedCall((), {}))
        return made_since(call)

    monkeypatch.setattr(NotedCall, "made_since", asked)
    step(steps, lambda: program.block(x_of()))
    assert [call.count for call in one.calls.values()] == [1, 0]


def test_what_a_call_leaves_in_its_arguments_is_compared(program, write_folder):  # noqa: F811
    def scaled(x: Any, w: Any, alpha: float = 1.0) -> Any:
        return x.mul_(w * alpha + 1).clone()

    program.scaled = scaled
    steps = PlacedSteps(0)
    right_outputs = "def run(x, w, alpha, y):\n    y.copy_(x * (w * alpha + 1))\n"
    target = KernelTarget("placed_program.scaled")
    one = PlacedTarget(target.target, put(target, write_folder(right_outputs)), steps)
    try:
        step(steps, lambda: program.block(x_of()))
    finally:
        one.remove()
    (timed,) = timed_calls(one, steps)
    assert timed.drift.relative == pytest.approx(0.5)


def test_arguments_are_kept_as_the_first_call_had_them(program, placed):
    one, steps = placed
    x = x_of()
    for _ in range(4):
        step(steps, lambda: program.block(x))
        x.zero_()
    (call,) = one.calls.values()
    assert torch.equal(call.args[0], x_of())


def test_what_a_step_takes_besides_its_calls_is_told_of_those_with_the_originals(
    program, placed, monkeypatch
):
    one, steps = placed
    scaled = one.applied.original

    def slow(x: Any, w: Any, alpha: float = 1.0) -> Any:
        time.sleep(0.02)
        return scaled(x, w, alpha)

    monkeypatch.setattr(one.applied, "original", slow)
    one.remove()
    two = PlacedTarget(one.name, one.applied, steps)

    def act() -> None:
        program.block(x_of())
        time.sleep(0.005)
        program.block(x_of())

    for _ in range(8):
        step(steps, act)
    two.remove()
    assert len(steps.turns) == 2
    # A busy machine makes a sleep longer; the calls of forty milliseconds are not in it.
    assert all(5_000 <= us < 35_000 for us in (turn.rest_us for turn in steps.turns))


def test_on_a_gpu_no_clock_is_in_the_times_of_calls_nor_in_the_rest(program, placed, monkeypatch):
    one, steps = placed
    gpu = SimulatedGPU(monkeypatch, delayed_device, step_timing, placed_calls, record_us=2.0)
    both = {"original": 10.0, "function": 4.0}
    for name, kernel_us in both.items():
        act = lambda *_, us=kernel_us, **__: gpu.launch(us)  # noqa: E731
        monkeypatch.setattr(one.applied, name, act)
    one.remove()
    two = PlacedTarget(one.name, one.applied, steps)

    def act() -> None:
        for _ in range(20):
            program.block(x_of())
            gpu.launch(30.0)

    for _ in range(14):
        step(steps, act)
    two.remove()
    (call,) = two.calls.values()
    times = call.times(len(steps.turns))
    # With the microsecond before it that a kernel behind another waits. The first call of a step in
    # which the device is not held back waits for the host.
    assert [span and span[1] for span in times.original] == [pytest.approx(11.0, rel=0.02)] * 4
    assert [span and span[1] for span in times.kernel] == [pytest.approx(5.0, abs=0.05)] * 4
    plain_us = 20 * (11.0 + 31.0)
    assert [turn.plain_ns / 1e3 for turn in steps.turns] == [pytest.approx(plain_us, rel=0.01)] * 4
    assert [turn.rest_us for turn in steps.turns] == [pytest.approx(20 * 31.0, rel=0.01)] * 4


def test_a_call_on_the_cpu_takes_what_the_host_needs():
    assert MadeCall(1.0, None).span(1.5) == (1.0, 1.0)


def test_a_call_of_a_step_is_the_mean_of_its_calls():
    call = NotedCall((), {})
    call.note(StepKind.KERNEL, 1, [(1.0, 4.0), (3.0, 5.0)])
    call.note(StepKind.ORIGINAL, 1, [])
    assert call.count == 2
    assert call.times(2).kernel == (None, (2.0, 4.5)) and call.times(2).original == (None, None)
