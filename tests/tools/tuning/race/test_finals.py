"""Finalists are told apart by calls in turn: the fastest wins, a tie is one, a failure is out."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Mapping

import pytest

from kernel_harness.tools.schema.measurement import Decision
from kernel_harness.tools.tuning.race.finals import Lead, Paired, order_finalists
from kernel_harness.tools.tuning.race.halving import Course, RaceTime, race

SMALL_RUNS = (
    *(1.0, 1.11, 1.135, 1.19, 1.22, 1.0, 1.025, 1.125, 1.015, 1.24),
    *(1.005, 1.1, 1.15, 1.218, 1.128, 1.038, 1.085, 1.024, 1.246, 1.048),
)
LARGE_RUNS = (
    *(1.0, 1.015, 1.062, 1.023, 1.033, 1.017, 1.026, 1.054, 1.031, 1.064),
    *(1.0, 1.029, 1.017, 1.032, 1.034, 1.007, 1.007, 1.008, 1.061, 1.012),
)
"""How many times their least time twenty runs of two programs took on an H200, at 3.2 and 37 µs."""
Truth = Mapping[str, Mapping[str, float]]


def decision(ratio: float) -> Decision:
    if abs(math.log(ratio)) < 0.01:
        return Decision.EQUAL
    return Decision.FASTER if ratio > 1 else Decision.SLOWER


class Field:
    """Contestants with true times; runs of one program differ, calls in turn by little.

    Args:
        run: standard deviation of the logarithm between runs of one program; None: as an H200's
            runs at regimes small and large.
        pair: that of the ratio of calls in turn.
    """

    def __init__(
        self, truth: Truth, run: float | None = 0.0, pair: float = 0.0, seed: int = 1
    ) -> None:
        self.truth, self.run, self.pair = truth, run, pair
        self.failing: set[str] = set()
        self.untimed: set[str] = set()
        self.met: list[tuple[str, str, tuple[str, ...]]] = []
        self._rng = random.Random(seed)

    async def alone(self, name: str, regimes, calls: int) -> dict[str, RaceTime]:
        spread, number = 0.012 / calls**0.5, self._rng.randrange(len(SMALL_RUNS))
        slow = self._rng.gauss(0, self.run or 0.0)
        found = {}
        for regime in regimes:
            us = self.truth[name][regime] * math.exp(slow + self._rng.gauss(0, spread))
            if self.run is None:
                us *= (SMALL_RUNS if regime == "small" else LARGE_RUNS)[number]
            found[regime] = RaceTime(us, us * (1 - 2 * spread), us * (1 + 2 * spread))
        return found

    async def beside(self, first: str, second: str, regimes) -> Paired:
        self.met.append((first, second, tuple(regimes)))
        if first in self.failing:
            return Paired(failed=True)
        leads, times = {}, {first: {}, second: {}}
        for regime in regimes:
            if second in self.untimed:
                continue
            ours, other = self.truth[first][regime], self.truth[second][regime]
            ratio = other / ours * math.exp(self._rng.gauss(0, self.pair))
            leads[regime] = Lead(first, second, ratio, ratio / 1.01, ratio * 1.01, decision(ratio))
            times[first][regime] = RaceTime(ours, ours, ours)
            times[second][regime] = RaceTime(other, other, other)
        return Paired(leads, times)

    def raced(self, values=None) -> tuple[Course, dict[str, list[Lead]]]:
        async def both() -> tuple[Course, dict[str, list[Lead]]]:
            regimes = list(dict.fromkeys(r for times in self.truth.values() for r in times))
            course = await race(list(self.truth), regimes, self.alone, values=values)
            return course, await order_finalists(course, self.beside)

        return asyncio.run(both())


def planted() -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """Three constants of 3, 3 and 2 values; the second best takes 3 % more, at both sizes."""
    values = {
        str(v): dict(zip("abc", v, strict=True)) for v in itertools.product(*map(range, (3, 3, 2)))
    }
    truth = {
        name: {
            regime: us * (1 + 0.5 * abs(v["a"] - best) + 0.5 * v["b"] + 0.03 * v["c"])
            for regime, best, us in (("small", 0, 3.2), ("large", 2, 37.4))
        }
        for name, v in values.items()
    }
    return truth, values


@pytest.mark.parametrize("run", [0.005, 0.02, None])
def test_a_planted_optimum_three_per_cent_ahead_is_found_however_runs_differ(
    run: float | None,
):
    truth, values = planted()
    found, measured, times = 0, 0, 100
    for seed in range(times):
        course, _ = Field(truth, run, pair=0.01, seed=seed).raced(values)
        measured += course.measured
        found += course.ranking("small")[0] == "(0, 0, 0)"
        found += course.ranking("large")[0] == "(2, 0, 0)"
    assert found >= 0.95 * 2 * times
    assert measured <= 22 * times, "18 runs, and a meeting or two for each regime"


def test_the_winner_leads_and_the_other_regime_has_its_own():
    truth = {"a": {"r": 1.0, "s": 1.05}, "b": {"r": 1.04, "s": 1.0}, "c": {"r": 2.0, "s": 2.0}}
    course, leads = Field(truth).raced()
    assert course.ranking("r") == ["a", "b", "c"] and course.ranking("s") == ["b", "a", "c"]
    (lead,) = leads["s"]
    assert (lead.first, lead.second, lead.decision) == ("b", "a", Decision.FASTER)
    assert lead.ratio == pytest.approx(1.05) and lead.low < lead.ratio < lead.high


def test_who_was_slow_in_its_run_overtakes_and_the_lead_is_turned():
    course = Course(finalists={"r": ["b", "a"]}, times={"a": {}, "b": {}})
    field = Field({"a": {"r": 1.0}, "b": {"r": 1.04}})
    leads = asyncio.run(order_finalists(course, field.beside))
    assert course.finalists["r"] == ["a", "b"]
    (lead,) = leads["r"]
    assert (lead.first, lead.second, lead.decision) == ("a", "b", Decision.FASTER)
    assert (lead.low, lead.ratio, lead.high) == pytest.approx((1.04 / 1.01, 1.04, 1.04 * 1.01))


def test_programs_that_do_not_differ_are_tied():
    truth = {name: {"r": 1.0} for name in "abc"}
    course, leads = Field(truth, pair=0.001).raced()
    assert len(leads["r"]) >= 1 and all(lead.tied for lead in leads["r"])
    assert {lead.first for lead in leads["r"]} == {course.ranking("r")[0]}


def test_regimes_where_the_same_two_meet_are_measured_together():
    field = Field({"a": {"r": 1.0, "s": 1.0}, "b": {"r": 1.02, "s": 1.02}})
    field.raced()
    assert [(meeting[0], meeting[1], set(meeting[2])) for meeting in field.met] == [
        ("a", "b", {"r", "s"})
    ]


def test_two_that_lead_in_different_regimes_meet_once():
    field = Field({"a": {"r": 1.0, "s": 1.04}, "b": {"r": 1.04, "s": 1.0}})
    course, leads = field.raced()
    assert [(set(meeting[:2]), set(meeting[2])) for meeting in field.met] == [
        ({"a", "b"}, {"r", "s"})
    ]
    assert {r: (found[0].first, found[0].second) for r, found in leads.items()} == {
        "r": ("a", "b"),
        "s": ("b", "a"),
    }
    assert course.ranking("r") == ["a", "b"] and course.ranking("s") == ["b", "a"]


def test_two_that_meet_are_compared_wherever_both_may_be_the_fastest():
    truth = {
        "a": {"r": 1.0, "s": 1.05},
        "b": {"r": 1.02, "s": 1.06},
        "c": {"r": 9.0, "s": 1.0},
    }
    course = Course(finalists={"r": ["a", "b"], "s": ["c", "a", "b"]})
    course.times = {name: {} for name in truth}
    field = Field(truth)
    leads = asyncio.run(order_finalists(course, field.beside))
    assert [set(m[:2]) for m in field.met] == [{"a", "b"}, {"a", "c"}, {"b", "c"}]
    assert [set(m[2]) for m in field.met] == [{"r", "s"}, {"s"}, {"s"}], "they were tied on s"
    truth["b"]["s"] = 1.2
    course.finalists, field.met = {"r": ["a", "b"], "s": ["c", "a", "b"]}, []
    leads = asyncio.run(order_finalists(course, field.beside))
    assert [set(m[:2]) for m in field.met] == [{"a", "b"}, {"a", "c"}], "who is slower is gone"
    assert [(lead.first, lead.second) for lead in leads["s"]] == [("c", "a")]


def test_two_whose_calls_in_turn_gave_no_time_meet_there_once_more():
    course = Course(finalists={"r": ["b", "a"], "s": ["b", "a"]}, times={"a": {}, "b": {}})
    field = Field({"a": {"r": 1.0, "s": 1.0}, "b": {"r": 1.04, "s": 1.04}})
    lost = [{"s"}, set[str]()]

    async def beside(first: str, second: str, regimes) -> Paired:
        found = await field.beside(first, second, regimes)
        left = lost.pop(0)
        return Paired({r: lead for r, lead in found.leads.items() if r not in left}, found.times)

    asyncio.run(order_finalists(course, beside))
    assert [set(m[2]) for m in field.met] == [{"r", "s"}, {"s"}]
    assert course.finalists == {"r": ["a", "b"], "s": ["a", "b"]}


DECODE_US = {
    **{"8,1": (3.26, 4.96, 10.54, 19.49), "8,2": (4.06, 5.23, 12.42, 20.74)},
    **{"8,4": (3.62, 5.09, 11.95, 20.96), "16,1": (3.04, 4.61, 12.13, 20.53)},
    **{"16,2": (3.87, 5.17, 12.35, 20.83), "16,4": (3.39, 4.70, 11.58, 20.72)},
    **{"32,1": (5.41, 5.89, 11.15, 20.98), "32,2": (5.01, 6.06, 11.44, 21.55)},
    "32,4": (4.10, 5.47, 13.07, 22.15),
}
"""Nine variants of a decode kernel on an H200, at four sizes."""


def test_of_variants_within_a_few_per_cent_hardly_slower_ones_win_after_few_runs():
    truth = {name: dict(zip("rstu", times, strict=True)) for name, times in DECODE_US.items()}
    losses, measured, times = [], 0, 60
    for seed in range(times):
        course, _ = Field(truth, 0.02, pair=0.01, seed=seed).raced()
        measured += course.measured
        for regime in "rstu":
            best = min(us[regime] for us in truth.values())
            losses.append(truth[course.ranking(regime)[0]][regime] / best - 1)
    assert sum(losses) / len(losses) < 0.002
    assert measured <= 24 * times, "9 runs, as many again, and a few meetings"


def test_a_finalist_that_fails_is_out_and_meets_no_one_again():
    field = Field({name: {"r": 1.0 + 3 * n / 100} for n, name in enumerate("abc")})
    field.failing = {"a"}
    course, leads = field.raced()
    assert course.ranking("r") == ["b", "c"] and course.out == {"a"}
    assert [(first, second) for first, second, _ in field.met] == [("a", "b"), ("b", "c")]
    assert [lead.second for lead in leads["r"]] == ["c"]


def test_without_enough_calls_in_turn_the_times_of_the_runs_stand():
    field = Field({"a": {"r": 1.0}, "b": {"r": 1.05}})
    field.untimed = {"b"}
    course, leads = field.raced()
    assert course.ranking("r") == ["a", "b"] and leads == {"r": []}


def test_who_lost_to_one_that_fails_later_meets_the_next_before_that_one_leads():
    """The third is the slowest here: to stand beside one that is out makes no one the fastest."""
    course = Course(finalists={"r": ["a", "b", "c"], "s": ["a", "d"]})
    course.times = {name: {} for name in "abcd"}
    field = Field({"a": {"r": 1.0}, "b": {"r": 1.02}, "c": {"r": 1.06}, "d": {"s": 1.0}})

    async def beside(first: str, second: str, regimes) -> Paired:
        return Paired(failed=True) if second == "d" else await field.beside(first, second, regimes)

    leads = asyncio.run(order_finalists(course, beside))
    assert course.finalists == {"r": ["b", "c"], "s": ["d"]}
    assert [meeting[:2] for meeting in field.met] == [("a", "b"), ("b", "c")]
    assert [(lead.first, lead.second) for lead in leads["r"]] == [("b", "c")] and not leads["s"]


def test_who_was_out_before_the_finals_meets_no_one():
    course = Course(finalists={"r": ["a", "b"], "s": ["a"]}, times={"a": {}, "b": {}}, out={"a"})
    field = Field({"a": {"r": 1.0}, "b": {"r": 1.02}})
    assert asyncio.run(order_finalists(course, field.beside)) == {"r": [], "s": []}
    assert not field.met and course.finalists == {"r": ["b"], "s": []}
