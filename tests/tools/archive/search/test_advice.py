"""Advice after each candidate."""

from __future__ import annotations

import pytest

from kernel_harness.tools.archive.search.advice import (
    AdviceKind,
    Budget,
    advice_on,
    advise,
    rounds_without_gain,
)
from kernel_harness.tools.schema.evaluation import Failure, Stage, Status
from kernel_harness.tools.schema.measurement import TimeSource

from ..conftest import Bench


def advice_in(bench, definition="scale_n64", budget=None):
    return advice_on(bench.archive, definition, budget or Budget())


def kinds(advice):
    return [a.kind for a in advice]


def test_a_search_that_gains_gets_no_advice(bench):
    parent = bench.add(latency_us=10.0)
    for latency in (9.0, 8.0, 7.0, 6.0, 5.0, 4.0):
        parent = bench.add(latency_us=latency, parents=[parent.candidate_id])
        assert not advice_in(bench)


def test_five_rounds_within_the_noise_are_a_plateau(bench):
    parent = bench.add(latency_us=10.0)
    for latency in (9.95, 10.05, 9.9, 10.0):
        bench.add(latency_us=latency, parents=[parent.candidate_id])
        assert not advice_in(bench)
    bench.add(latency_us=9.97, parents=[parent.candidate_id])
    (advice,) = advice_in(bench)
    assert advice.kind is AdviceKind.PLATEAU and "5 candidates" in advice.words
    assert len(advice.evidence) == 5


def test_the_same_program_again_is_a_cycle(bench):
    bench.add(source="def run(x, y):\n    y.copy_(x)\n")
    bench.add(source="def run(x, y):\n    y.copy_(2 * x)\n", latency_us=5.0)
    bench.add(source="def run(x,y): y.copy_(x) # again\n", latency_us=3.0)
    assert kinds(advice_in(bench)) == [AdviceKind.CYCLE]


def test_a_technique_that_never_helps_is_a_cycle(bench):
    root = bench.add(latency_us=10.0)
    for _ in range(3):
        bench.add(latency_us=10.0, parents=[root.candidate_id], technique=["unroll"])
    assert AdviceKind.CYCLE in kinds(advice_in(bench))


def test_three_regressions_and_three_failures_are_streaks(bench):
    root = bench.add(latency_us=10.0)
    for _ in range(3):
        bench.add(latency_us=12.0, parents=[root.candidate_id])
    assert AdviceKind.REGRESSION in kinds(advice_in(bench))
    for _ in range(3):
        bench.add(status=Status.TIMEOUT, parents=[root.candidate_id])
    failing = next(a for a in advice_in(bench) if a.kind is AdviceKind.FAILURES)
    assert "same way" in failing.words


def test_infrastructure_faults_end_no_streak_and_make_none(bench):
    broken = Failure(stage=Stage.REQUEST, kind="judge_died", message="It died", remedy="Again.")
    spoilt = Status.INFRASTRUCTURE_ERROR
    last = [bench.add(status=spoilt, failure=broken) for _ in range(4)][-1]
    assert not advice_in(bench) and last.decision.startswith("undecided")


def test_a_budget_is_announced_before_it_ends(bench, archive):
    for latency in (10.0, 9.0, 8.0, 7.0):
        bench.add(latency_us=latency)
    history = list(archive.iter("scale_n64"))
    assert not advise(history, Budget(candidates=10))
    assert "80%" in advise(history, Budget(candidates=5))[0].words
    assert "Stop" in advise(history, Budget(seconds=40))[0].next_step


def test_an_archive_with_a_budget_says_when_it_is_nearly_used(archive):
    budget = Budget(candidates=80)
    bench = Bench(archive)
    for _ in range(3):
        bench.add(definition="other")
    last = bench.add()
    for _ in range(62):
        last = bench.add(latency_us=10.0, parents=[last.candidate_id])
    # More than the history that other advice is drawn from, and one operator's only.
    assert AdviceKind.BUDGET not in kinds(advice_in(bench, budget=budget))
    bench.add(parents=[last.candidate_id])
    found = advice_in(bench, budget=budget)
    (advice,) = [a for a in found if a.kind is AdviceKind.BUDGET]
    assert "64 of 80 candidates" in advice.words
    archive.close()


def test_a_claimed_latency_is_no_gain_over_a_sealed_one(bench):
    bench.add(latency_us=5.0)
    bench.add(latency_us=9.0, clock=TimeSource.SEALED)
    for _ in range(3):
        bench.add(latency_us=1.0)
    assert rounds_without_gain(list(bench.archive.iter())) == (3, pytest.approx(13.5))
