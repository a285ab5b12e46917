"""Successive halving finds a planted optimum with few measurements, and forgets nobody."""

from __future__ import annotations

import asyncio
import random

from kernel_harness.tools.tuning.race.halving import CALLS, Course, RaceTime, race


def raced(
    truth: dict[str, dict[str, float]], noise: float = 0.0, failing: tuple[str, ...] = ()
) -> tuple[Course, dict[str, int]]:
    """A race of contestants with these times, and the calls that each was measured with."""
    rng = random.Random(7)
    calls_of: dict[str, int] = {}

    async def measure(name, regimes, calls):
        calls_of[name] = calls_of.get(name, 0) + calls
        if name in failing:
            return None
        spread = noise / calls**0.5
        times = {r: truth[name][r] * rng.gauss(1, spread) for r in regimes if r in truth[name]}
        return {r: RaceTime(t, t * (1 - spread), t * (1 + spread)) for r, t in times.items()}

    regimes = list(dict.fromkeys(r for times in truth.values() for r in times))
    return asyncio.run(race(list(truth), regimes, measure)), calls_of


def test_a_planted_optimum_of_two_hundred_is_found_with_few_calls():
    truth = {f"v{n}": {"small": 10 + (n * 37) % 200 / 10, "large": 50.0 + n} for n in range(200)}
    truth["v111"]["small"] = 8.0
    course, calls_of = raced(truth, noise=0.02)
    assert course.ranking("small")[0] == "v111" and course.ranking("large")[0] == "v0"
    assert sum(calls_of.values()) < 200 * CALLS[-1] * 0.6
    assert course.measured < 200 * 1.2
    assert set(calls_of) == set(truth)


def test_each_regime_has_its_own_fastest():
    truth = {f"v{n}": {"small": 10.0 + n, "large": 30.0 - n} for n in range(18)}
    course, _ = raced(truth)
    assert course.ranking("small")[0] == "v0" and course.ranking("large")[0] == "v17"
    assert course.rungs["v8"] == {"small": 1, "large": 1}


def test_who_cannot_be_told_from_the_fastest_is_measured_again():
    truth = {f"v{n}": {"r": 10.0 if n < 6 else 20.0} for n in range(16)}
    course, _ = raced(truth, noise=0.05)
    again = {name for name, rungs in course.rungs.items() if rungs["r"] > 1}
    assert again < {f"v{n}" for n in range(6)} and len(again) == 4, "no more than one in four"


def test_two_are_measured_twice_and_one_alone_once():
    course, _ = raced({"a": {"r": 1.0}, "b": {"r": 1.001}})
    assert course.rungs == {"a": {"r": 2}, "b": {"r": 2}} and course.measured == 4
    alone, _ = raced({"a": {"r": 1.0}})
    assert alone.measured == 1 and alone.ranking("r") == ["a"]


def test_one_that_fails_is_out_of_every_regime():
    course, calls_of = raced({n: {"r": 1.0, "s": 1.0} for n in "abcde"}, failing=("a",))
    assert course.out == {"a"} and calls_of["a"] == CALLS[0]
    assert "a" not in course.ranking("r")


def test_when_all_fail_or_none_is_there_the_race_ends():
    course, _ = raced({n: {"r": 1.0} for n in "ab"}, failing=("a", "b"))
    assert course.ranking("r") == []
    assert raced({})[0].measured == 0


def test_one_without_a_time_in_a_regime_goes_on_in_the_others():
    course, _ = raced({"a": {"r": 1.0}, "b": {"r": 2.0, "s": 1.0}, "c": {"r": 3.0, "s": 2.0}})
    assert course.ranking("s") == ["b", "c"] and course.ranking("r")[0] == "a"
