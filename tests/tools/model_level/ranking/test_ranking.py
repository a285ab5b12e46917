"""Candidates are ranked by what can be won, not by their time."""

from __future__ import annotations

import pytest

from kernel_harness.tools.devices.hardware import shipped_hardware
from kernel_harness.tools.model_level.ranking.observations import (
    Observed,
    ObservedOperator,
    ObservedShapes,
    Rates,
)
from kernel_harness.tools.model_level.ranking.ranking import amdahl, rank

RATES = Rates("made up", 1e9, {"fp32": 1e9})


def operator(name: str, time_us: float, **work: int) -> ObservedOperator:
    calls = ObservedShapes(
        {"x": (4, 4)},
        2,
        time_us,
        time_us / 2,
        4,
        work.get("bytes_moved", 0),
        work.get("flops", 0),
    )
    dtypes = {"x": "float32"}
    return ObservedOperator(name, "function", (), dtypes, (), True, (calls,))


def observed(*operators: ObservedOperator, step_us=(1000.0,), device=None) -> Observed:
    return Observed(
        "model.step",
        step_us,
        (400.0,),
        20,
        2,
        device,
        132 if device else None,
        RATES,
        operators,
        (),
    )


def test_the_operator_far_from_its_floor_comes_before_the_longer_one_at_it():
    # Over two steps: 600 us a step with 540 of floor, and 300 with 30.
    near = operator("near", 1200.0, bytes_moved=1_080_000)
    far = operator("far", 600.0, flops=60_000)
    ranking = rank(observed(near, far), None)
    assert [one.name for one in ranking.operators] == ["far", "near"]
    first, second = ranking.operators
    assert (first.row, first.time_us, first.floor_us, first.share) == (1, 300.0, 30.0, 0.3)
    assert first.gain_share == pytest.approx(0.27)
    assert first.bound == pytest.approx(1 / 0.73)
    assert second.gain_share == pytest.approx(0.06)
    assert ranking.bound == pytest.approx(1 / (1 - 0.33))
    assert (ranking.busy_us, ranking.gap_us) == (900.0, 100.0)
    assert ranking.launch_bound is None


def test_a_time_below_the_floor_leaves_nothing_to_be_won():
    ranking = rank(observed(operator("over-counted", 10.0, bytes_moved=10**9)), None)
    assert ranking.operators[0].gain_share == 0 and ranking.operators[0].bound == 1


def test_shares_are_of_a_step_that_holds_all_operators():
    ranking = rank(observed(operator("slowed by the profiler", 4000.0)), None)
    assert ranking.step_us == 2000.0 and ranking.operators[0].share == 1.0


def test_a_device_that_waits_is_said_to_be_launch_bound():
    small = observed(operator("small", 400.0), device="H200")
    assert rank(small, shipped_hardware()["H200"]).launch_bound
    large = observed(operator("large", 1900.0), device="H200")
    assert rank(large, shipped_hardware()["H200"]).launch_bound is False


def test_floors_on_a_known_device_have_a_launch_in_each_call():
    ranking = rank(observed(operator("small", 400.0), device="H200"), shipped_hardware()["H200"])
    # Two calls over two steps, and 1.2 us is the shortest kernel seen on an H200.
    assert ranking.operators[0].floor_us == pytest.approx(1.2)


def test_amdahl():
    assert amdahl(0.5) == 2.0 and amdahl(0.0) == 1.0 and amdahl(1.0) > 1e6
