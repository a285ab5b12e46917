"""A clock that power has lowered is waited for, and one that stays low is the usual one then."""

from __future__ import annotations

import itertools

import pytest
import torch

from kernel_harness.tools.judge.machine import clock_rate
from kernel_harness.tools.judge.machine.clock_rate import CLOCK_WAIT_S, STEADY_S, OwnClock


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The time, which passes by five milliseconds each time that somebody looks."""
    seen: list[float] = []
    moments = itertools.count()

    def monotonic() -> float:
        seen.append(next(moments) * 0.005)
        return seen[-1]

    monkeypatch.setattr(clock_rate.time, "monotonic", monotonic)
    return seen


class Spins(OwnClock):
    """A clock whose spins take so long, one after another, and then as long as the last."""

    def __init__(self, *spans: float) -> None:
        super().__init__(torch.device("cuda"))
        self.asked, self.spans = 0, [*spans]

    def _span_ns(self) -> float | None:
        self.asked += 1
        return self.spans.pop(0) if len(self.spans) > 1 else self.spans[0]


def test_a_first_wait_is_for_a_steady_rate(now):
    found = Spins(*[64_000.0] * 8, 56_000.0, 50_500.0)
    assert not found.is_usual(), "nothing is usual yet"
    found.wait()
    assert STEADY_S < now[-1] < CLOCK_WAIT_S
    assert found.is_usual()


def test_a_rate_that_power_has_lowered_is_waited_for(now):
    found = Spins(50_000.0)
    found.wait()
    found.spans = [63_000.0]
    assert not found.is_usual(), "products were made meanwhile"
    found.asked, found.spans = 0, [63_000.0, 55_000.0, 50_400.0]
    found.wait()
    assert found.asked == 3 and found.is_usual()


def test_a_rate_that_stays_low_is_the_usual_one_from_then_on(now):
    found = Spins(50_000.0)
    found.wait()
    began, found.spans = now[-1], [60_000.0]
    found.wait()
    assert now[-1] - began > CLOCK_WAIT_S and found.is_usual()
    found.asked = 0
    found.wait()
    assert found.asked == 1, "it is not waited for again"


def test_without_a_gpu_nothing_tells_a_rate_and_nothing_is_waited_for(now):
    found = OwnClock(torch.device("cpu"))
    found.wait()
    assert len(now) == 1 and not found.is_usual()
