"""How long a case will take, and the end that a plan sets to a trial."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.judge.checks.time_budget import (
    Estimate,
    StageTimes,
    TimeBudget,
    in_time,
)
from kernel_harness.tools.judge.processes.progress import Cancellation, TrialCancelledError
from kernel_harness.tools.schema.evaluation import Failure, Stage, Status


def test_after_a_failure_a_device_is_held_for_a_tenth_of_a_second():
    assert TimeBudget(0.0, 1.0, interpreted=False, rate=1.0).after_failure_s == 0.1
    assert TimeBudget(0.0, 1.0, interpreted=True, rate=1.0).after_failure_s == 1.0


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


def budget(left_s: float, reference_s: float, *, interpreted: bool = True) -> TimeBudget:
    deadline = time.monotonic() + left_s - reference_s
    return TimeBudget(deadline, 60.0, interpreted, 1.0, 40.0, lambda: reference_s)


@pytest.mark.parametrize(
    ("left_s", "reference_s", "needed", "named"),
    [
        (30.0, 0.0, (5.0, 5.0), ""),
        (30.0, 38.0, (5.0, 5.0), "the reference"),
        (3.0, 0.0, (5.0, 5.0), "the candidate"),
    ],
)
def test_whose_time_is_missing_is_named(left_s, reference_s, needed, named):
    said = budget(left_s, reference_s).lacking(*needed)
    assert (f"by {named};" in said and "of its own budget of 40 s" in said) if named else not said


def test_a_budget_that_is_used_up_is_not_told_as_no_time_that_would_be_needed():
    said = budget(3.0, 41.0).lacking(0.0, 0.0)
    assert said == "the reference had used up its own budget of 40 s without a GPU"


def test_with_a_gpu_what_is_estimated_holds_nothing_back():
    assert not budget(3.0, 38.0, interpreted=False).lacking(500.0, 500.0)
    assert "reference" in budget(3.0, 41.0, interpreted=False).lacking(0.0, 0.0)


def test_the_time_of_the_reference_is_not_the_candidates():
    times = StageTimes()
    times.seconds |= {"correctness": 30.0, "timing": 5.0}
    times.shared(reference_s=28.0, meanwhile_s=27.0)
    assert times.seconds["reference"] == 28.0 and times.seconds["candidate"] == 8.0


WRONG = Status.RUNTIME_ERROR, Failure(stage=Stage.TIMING, kind="crash", message="m", remedy="r")


def carried_out(ends_after_s: float | None, carry_out: Any, *, timed: bool = False):
    """How a trial ends that is given its cancellation."""
    cancellation = Cancellation()
    plan = SimpleNamespace(ends_after_s=ends_after_s)
    parts: Any = SimpleNamespace(cancellation=cancellation, plan=plan)
    return in_time(parts, lambda: carry_out(cancellation), lambda: timed)


def until_ended(error: Exception | None):
    def carry_out(cancellation: Cancellation):
        while not cancellation.requested:
            pass
        if error is not None:
            raise error
        return WRONG

    return carry_out


@pytest.mark.parametrize("seconds", [None, 30.0])
@pytest.mark.parametrize("failed", [None, WRONG])
def test_a_trial_that_ends_in_time_ends_as_it_does(seconds, failed):
    assert carried_out(seconds, lambda _: failed) == (failed, None)


LOST = [TrialCancelledError("over"), InfrastructureError("its zygote is gone"), None]


@pytest.mark.parametrize("error", LOST)
def test_whatever_is_said_of_processes_that_were_ended_it_is_a_timeout(error):
    failed, words = carried_out(0.02, until_ended(error))
    assert failed is not None and failed[0] is Status.TIMEOUT
    assert failed[1].message == words and "0.02 s" in str(words)


@pytest.mark.parametrize("error", LOST)
def test_what_was_timed_before_the_end_stands_and_nothing_failed(error):
    failed, words = carried_out(0.02, until_ended(error), timed=True)
    assert failed is None and "0.02 s" in str(words)


def test_a_fault_before_the_end_is_one():
    def broken(_: Cancellation):
        raise InfrastructureError("The disk is full")

    with pytest.raises(InfrastructureError):
        carried_out(30.0, broken)
