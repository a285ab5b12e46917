"""How long a case will take."""

from __future__ import annotations

import pytest

from kernel_harness.tools.judge.checks.time_budget import Estimate


def test_nothing_seen_costs_nothing():
    assert Estimate(1e7).seconds(1e9) == 0.0


def test_one_small_case_is_never_scaled_beyond_the_rate_to_count_on():
    estimate = Estimate(1e7)
    estimate.add(1_000, 3.0)
    assert estimate.seconds(1e7 + 1_000) == pytest.approx(4.0)


def test_one_case_that_ran_faster_than_the_rate_is_scaled_in_proportion():
    estimate = Estimate(1e3)
    estimate.add(1e6, 2.0)
    assert estimate.seconds(2e6) == pytest.approx(4.0)


def test_two_cases_make_a_line():
    estimate = Estimate(1e3)
    estimate.add(1e6, 1.0)
    estimate.add(3e6, 2.0)
    assert estimate.seconds(5e6) == pytest.approx(3.0)


def test_a_larger_case_that_was_quicker_does_not_make_time_shrink():
    estimate = Estimate(1e3)
    estimate.add(1e6, 2.0)
    estimate.add(2e6, 1.0)
    assert estimate.seconds(9e6) == pytest.approx(1.0)
