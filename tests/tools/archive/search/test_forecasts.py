"""Forecasts of plans: when they are decided, by what, and how far an agent is believed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kernel_harness.tools.archive.search.advice import AdviceKind, advice_on_forecast
from kernel_harness.tools.archive.search.forecasts import (
    Forecast,
    ForecastStatus,
    calibrations,
    forecast_report,
    measured_gain,
)
from kernel_harness.tools.archive.store.entry import RegimeFact
from kernel_harness.tools.archive.store.plans.commits import StoredPlan
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.search.made_by import MadeBy
from kernel_harness.tools.schema.search.plan import SearchPlan

LATER = "2099-01-01T00:00:00+00:00"


def idea(gain: float = 1.2, confidence: float = 0.6, **more) -> SearchPlan:
    said = {"definition": "scale_n64", "hypothesis": "Fewer bytes.", "spec": {}} | more
    return SearchPlan(expected_gain=gain, confidence=confidence, **said)


@pytest.fixture
def planned(bench, archive):
    """Records a plan and archives candidates of it; gives what became of the forecast."""

    def make(record: SearchPlan, *candidates: dict) -> Forecast:
        plan = archive.plans.write(record, {"kernel.py": ""})
        for number, candidate in enumerate(candidates):
            at = datetime.fromtimestamp(4_070_908_800 + number, UTC).isoformat()
            bench.add(plan=plan.plan_id, **({"at": at} | candidate))
        found = forecast_report(archive).forecasts
        return next(f for f in found if f.plan.plan_id == plan.plan_id)

    return make


def test_a_plan_that_nobody_tried_is_open(planned):
    found = planned(idea())
    assert found.status is ForecastStatus.OPEN and not found.decided and found.gain is None


@pytest.mark.parametrize(("forecast", "status"), [(1.2, "reached"), (1.3, "missed")])
def test_latencies_of_plan_and_parent_decide(bench, planned, forecast, status):
    parent = bench.add(latency_us=10.0).candidate_id
    found = planned(idea(forecast, parent=parent), {"latency_us": 8.0, "parents": [parent]})
    assert found.status == status and found.gain == pytest.approx(1.25)
    assert parent in found.words


def test_a_comparison_in_pairs_with_the_parent_is_taken_before_two_latencies(bench, planned):
    parent = bench.add(latency_us=10.0)
    paired = {"latency_us": 9.9, "ratio": 1.4, "baseline_hash": parent.content_hash}
    found = planned(idea(1.3, parent=parent.candidate_id), paired)
    assert found.reached and found.gain == pytest.approx(1.4) and "in pairs" in found.words


def test_a_plan_that_began_from_no_candidate_is_held_against_the_baseline(planned):
    found = planned(idea(1.5, parent="template"), {"latency_us": 8.0, "ratio": 1.6})
    assert found.reached and found.gain == pytest.approx(1.6) and "baseline" in found.words


def test_only_the_regimes_that_were_forecast_count(bench, planned):
    parent = bench.add(latency_us=10.0).candidate_id
    small = planned(idea(1.2, parent=parent, regimes=["small"]), {"latency_us": 8.0})
    none = planned(idea(1.2, parent=parent, regimes=["huge"]), {"latency_us": 8.0})
    assert small.reached and small.gain == pytest.approx(1.25)
    assert none.status is ForecastStatus.UNCLEAR and "huge" in none.words


def test_the_first_timed_candidate_decides_it_and_later_tries_do_not(bench, planned):
    parent = bench.add(latency_us=10.0).candidate_id
    found = planned(idea(1.2, parent=parent), {"latency_us": 9.5}, {"latency_us": 5.0})
    assert found.status is ForecastStatus.MISSED and found.gain == pytest.approx(10 / 9.5)


def test_a_failure_is_a_miss_until_its_fix_is_timed(bench, planned):
    parent = bench.add(latency_us=10.0).candidate_id
    wrong = {"status": Status.INCORRECT_NUMERICAL}
    failed = planned(idea(1.2, parent=parent), wrong)
    fixed = planned(idea(1.1, parent=parent), wrong, {"latency_us": 8.0})
    untimed = planned(idea(1.3, parent=parent), wrong | {"gpu": None})
    assert untimed.status is ForecastStatus.UNCLEAR
    assert failed.status is ForecastStatus.FAILED and failed.decided and not failed.reached
    assert fixed.reached and fixed.gain == pytest.approx(1.25)


def test_what_was_not_timed_or_cannot_be_compared_decides_nothing(bench, planned):
    parent = bench.add(latency_us=10.0, gpu="NVIDIA B200").candidate_id
    other = planned(idea(parent=parent), {"latency_us": 5.0})
    untimed = planned(idea(parent=parent), {"gpu": None})
    assert other.status is ForecastStatus.UNCLEAR and "another device" in other.words
    assert untimed.status is ForecastStatus.UNCLEAR


def test_a_forecast_made_after_its_trial_is_none(bench, planned):
    parent = bench.add(latency_us=10.0).candidate_id
    early = {"latency_us": 5.0, "at": "2026-01-01T00:00:00+00:00"}
    found = planned(idea(parent=parent), early)
    assert found.status is ForecastStatus.UNCLEAR and "after its trial" in found.words


def decided(confidence: float, reached: bool, gain: float | None = None, by: str = "") -> Forecast:
    record = idea(2.0, confidence, technique=["tma"], made_by=MadeBy(client=by))
    status = ForecastStatus.REACHED if reached else ForecastStatus.MISSED
    return Forecast(StoredPlan("p", "p", "p", 0, record), status, "", gain)


def test_the_brier_figure_is_the_mean_square_of_confidence_minus_outcome():
    group = [decided(0.9, True, 2.0), decided(0.6, False, 1.0), decided(0.5, False)]
    (known,) = calibrations(group, lambda _: ["all"])
    assert known.brier == pytest.approx((0.01 + 0.36 + 0.25) / 3)
    assert known.confidence == pytest.approx(2 / 3) and known.reached == pytest.approx(1 / 3)
    assert known.base == pytest.approx(2 / 9)
    assert known.bias == pytest.approx(0.5**0.5) and known.error == pytest.approx(2**0.5)


def test_a_perfect_forecaster_has_none_and_a_coin_a_quarter():
    sure = calibrations([decided(1.0, True), decided(0.0, False)], lambda _: ["all"])
    coin = calibrations([decided(0.5, True), decided(0.5, False)], lambda _: ["all"])
    assert sure[0].brier == 0 and coin[0].brier == 0.25


@pytest.mark.parametrize(
    ("confidence", "hits", "words"), [(0.9, 1, "Promise less"), (0.1, 4, "Be bolder"), (0.6, 3, "")]
)
def test_an_agent_is_told_how_its_forecasts_are_to_change(confidence, hits, words):
    group = [decided(confidence, number < hits) for number in range(5)]
    (known,) = calibrations(group, lambda _: ["all"])
    assert known.correction.startswith(words) and bool(known.correction) is bool(words)
    (few,) = calibrations(group[:4], lambda _: ["all"])
    assert few.correction == ""


def test_open_forecasts_count_for_nobody_and_each_agent_for_itself(bench, archive, planned):
    parent = bench.add(latency_us=10.0).candidate_id
    for client, latency in (("codex", 5.0), ("codex", 9.0), ("claude-code", 5.0)):
        more = {"made_by": MadeBy(client=client), "hypothesis": f"To {latency} us."}
        planned(idea(parent=parent, technique=["tma"], **more), {"latency_us": latency})
    planned(idea(parent=parent))
    report = forecast_report(archive, "scale_n64")
    assert [(c.label, c.decided, c.reached) for c in report.agents] == [
        ("codex", 2, 0.5),
        ("claude-code", 1, 1.0),
    ]
    assert [(c.label, c.decided) for c in report.techniques] == [("tma", 3)]
    assert report.overall is not None and report.overall.decided == 3


def test_advice_says_what_became_of_the_candidates_forecast_once(bench, archive):
    parent = bench.add(latency_us=10.0).candidate_id
    plan = archive.plans.write(idea(1.5, parent=parent), {"kernel.py": ""}).plan_id
    first = bench.add(plan=plan, latency_us=8.0, at=LATER)
    second = bench.add(plan=plan, latency_us=4.0, at=LATER)
    said = advice_on_forecast(archive, first)
    assert said is not None and said.kind is AdviceKind.FORECAST
    assert "≥ 1.5x with 60 %" in said.words and "missed: 1.25x" in said.words
    assert advice_on_forecast(archive, second) is None
    assert advice_on_forecast(archive, bench.add()) is None


def test_a_regime_means_those_of_another_sample_that_are_much_the_same(archive, bench):
    plan = archive.plans.write(idea(1.2, regimes=["m 48-64"]), {"kernel.py": ""})
    node = bench.add(latency_us=8.0, ratio=1.1)
    drawn = (RegimeFact("m 64", 8.0, 1.4, "faster"), RegimeFact("m 1", 2.0, 0.5, "slower"))
    gain, words = measured_gain(plan, replace(node, regimes=drawn), None)
    assert gain == pytest.approx(1.4) and "baseline" in words
