"""Work of others is noticed, waited for and said."""

from __future__ import annotations

import itertools

import pytest
import torch

from kernel_harness.tools.judge.machine import machine_load
from kernel_harness.tools.judge.machine.machine_load import (
    PREHEAT_S,
    WAIT_S,
    MachineLoad,
    disturbance,
    steady,
)


@pytest.mark.parametrize(
    ("batch_s", "least_s", "waited", "words"),
    [
        (0.004, 0.004, 0.02, []),
        (0.0055, 0.004, 0.02, []),
        (0.010, None, 0.0, []),
        (0.010, 0.004, 0.02, ["device is used by others", "2.5 times"]),
        (0.004, 0.004, 0.45, ["processor is used by others", "45%"]),
        (0.010, 0.004, 0.45, ["device", "processor"]),
    ],
)
def test_work_of_others_is_said_with_its_figures(batch_s, least_s, waited, words):
    found = disturbance(batch_s, least_s, waited)
    assert all(word in found for word in words) and bool(found) is bool(words)


def test_batches_are_steady_once_neighbours_take_the_same_time():
    even = [0.01 * n for n in range(9)]
    assert steady(even) and not steady(even[:3]) and not steady([*even, even[-1] + 0.02])


class Clock:
    """A clock that a batch of products moves; nothing else takes time."""

    def __init__(self, *batches: float) -> None:
        self.now, self._batches = 100.0, itertools.chain(batches, itertools.repeat(batches[-1]))
        self.made = 0

    def monotonic(self) -> float:
        return self.now

    def work(self) -> None:
        self.made += 1
        self.now += next(self._batches)


@pytest.fixture
def load_of(monkeypatch):
    def make(clock: Clock, least_s: float | None, waited: float = 0.0) -> MachineLoad:
        monkeypatch.setattr(machine_load.time, "monotonic", clock.monotonic)
        monkeypatch.setattr(machine_load, "waited_s", lambda: waited * (clock.now - 100.0))
        monkeypatch.setattr(torch, "randn", lambda *_, **__: torch.zeros(1))
        monkeypatch.setattr(MachineLoad, "_products", clock.work)
        return MachineLoad(torch.device("cpu"), least_s)

    return make


def test_a_quiet_device_is_ready_once_it_is_steady(load_of):
    clock = Clock(0.030, 0.008, 0.005)
    load = load_of(clock, None)
    load.preheat()
    assert clock.now - 100.0 < PREHEAT_S and load.least_s == pytest.approx(0.005)
    load.look()
    assert load.disturbance == ""


def test_a_device_that_others_use_is_waited_for(load_of):
    clock = Clock(*[0.012] * 40, 0.005)
    load = load_of(clock, 0.005)
    load.preheat()
    assert PREHEAT_S < clock.now - 100.0 < WAIT_S
    assert load.disturbance == ""


def test_a_device_that_others_go_on_using_is_said(load_of):
    clock = Clock(0.012)
    load = load_of(clock, 0.005)
    load.preheat()
    assert WAIT_S <= clock.now - 100.0 < 2 * WAIT_S
    assert "2.4 times" in load.disturbance


def test_what_others_begin_while_calls_are_timed_is_said(load_of):
    clock = Clock(*[0.005] * 9, 0.02)
    load = load_of(clock, None, waited=0.3)
    load.preheat()
    clock.now += 3.0
    load.look()
    assert "4.0 times" in load.disturbance and "30%" in load.disturbance


def test_what_others_ended_before_the_timing_did_is_said_all_the_same(load_of):
    clock = Clock(*[0.012] * 167, 0.005)
    load = load_of(clock, 0.005)
    load.preheat()
    assert clock.now - 100.0 >= WAIT_S
    load.look()
    assert "2.4 times" in load.disturbance


def test_nothing_is_said_of_a_machine_on_which_nothing_was_timed(load_of):
    load = load_of(Clock(0.005), None, waited=0.9)
    load.look()
    assert load.disturbance == ""
