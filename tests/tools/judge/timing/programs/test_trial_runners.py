"""Runners of the operator's own baseline outlive a trial; nothing of a candidate's does."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_harness.tools.judge.timing.programs.kept_baseline import (
    RECORDED_BEFORE,
    BaselineKey,
    KeptBaseline,
)
from kernel_harness.tools.schema.measurement import TimeSource

from ..test_sealed_timing import (
    THEIRS,
    Outcome,
    ScriptedRecorders,
    ScriptedRunner,
    run,  # noqa: F401 - a fixture
    unscaled,
)


@pytest.fixture
def kept() -> KeptBaseline:
    return KeptBaseline(BaselineKey("{}", "b" * 64), 1 << 40)


def again(run: Any, kept: KeptBaseline, **more: Any) -> Outcome:  # noqa: F811
    """A trial after one that recorded the baseline: only the candidate is recorded."""
    return run(kept=kept, recorders=ScriptedRecorders(programs=(False,)), **more)


def test_runners_and_plans_of_the_baseline_serve_the_next_trial(run, kept):  # noqa: F811
    first = run(kept=kept)
    assert kept.runner_count == 2 and not any(r.ended for r in first.baselines)
    assert all(r.closed for r in first.candidates)
    second = again(run, kept)
    assert not second.baselines, "no runner of the baseline was started"
    baseline = second.timed.baseline
    assert second.measurement.clock is TimeSource.SEALED and baseline is not None
    assert baseline.clock is TimeSource.SEALED and baseline.cold_ns == [THEIRS] * 8
    assert [r.trials for r in first.baselines] == [2, 2], "what was measured before is forgotten"
    assert kept.runner_count == 2


def test_a_kept_runner_is_given_no_plan_but_the_baselines(run, kept):  # noqa: F811
    """No candidate shares a context with what is kept: there is nothing there to poison."""
    first = run(kept=kept)
    second = again(run, kept)
    assert not {*map(id, first.baselines)} & {*map(id, (*first.candidates, *second.candidates))}
    plans = {id(r.checked) for runner in first.baselines for r in runner.loads}
    ours = {
        id(r.checked) for runner in (*first.candidates, *second.candidates) for r in runner.loads
    }
    assert len(plans) == 1 and not plans & ours
    assert all(r.closed for r in (*first.candidates, *second.candidates))


def test_a_kept_plan_is_bounded_once_and_a_candidates_each_time(run, kept):  # noqa: F811
    first = run(kept=kept)
    assert first.baselines[0].witnesses == 1
    second = again(run, kept)
    assert first.baselines[0].witnesses == 1 and second.candidates[0].witnesses == 1


def test_a_kept_runner_must_measure_as_the_candidates_does(run, kept):  # noqa: F811
    first = run(kept=kept)
    for runner in first.baselines:
        runner.yardstick_ns = 14_000
    second = again(run, kept)
    assert second.measurement.clock is TimeSource.CLAIMED
    assert "yardstick" in (second.measurement.clock_reason or "")
    assert kept.runner_count == 0 and all(r.closed for r in first.baselines)


SPOILING = [
    pytest.param({"candidate": lambda: ScriptedRunner(lost=True)}, id="lost"),
    pytest.param({"candidate": lambda: ScriptedRunner(compute=unscaled)}, id="differs"),
    pytest.param({"candidate": lambda: ScriptedRunner(kept="device heap")}, id="memory"),
]


@pytest.mark.parametrize("script", SPOILING)
def test_replays_that_end_in_anything_but_sealed_times_leave_nothing_kept(run, kept, script):  # noqa: F811
    first = run(kept=kept)
    again(run, kept, **script)
    assert kept.spoiled and kept.runner_count == 0 and all(r.closed for r in first.baselines)


def test_a_baseline_that_is_wrong_is_not_kept(run, kept):  # noqa: F811
    found = run(kept=kept, baseline=lambda: ScriptedRunner(compute=unscaled))
    assert found.measurement.clock is TimeSource.CLAIMED
    assert kept.spoiled and all(r.closed for r in found.baselines)


def test_a_candidate_that_cannot_be_recorded_costs_nothing_that_is_kept(run, kept):  # noqa: F811
    run(kept=kept)
    reason = ScriptedRecorders(reason="the call waits for the device", programs=(False,))
    found = run(kept=kept, recorders=reason)
    assert found.measurement.clock is TimeSource.CLAIMED
    assert kept.runner_count == 2 and not kept.spoiled


def test_runners_that_are_missing_or_gone_are_started(run, kept):  # noqa: F811
    first = run(kept=kept)
    first.baselines[0].alive = False
    second = again(run, kept)
    assert len(second.baselines) == 1 and first.baselines[0].closed
    third = again(run, kept, blocks=3)
    assert len(third.baselines) == 1 and kept.runner_count == 3


def test_a_record_says_that_the_baseline_was_recorded_before(run, kept):  # noqa: F811
    assert RECORDED_BEFORE not in run(kept=kept).timing.fresh_values
    assert RECORDED_BEFORE in again(run, kept).timing.fresh_values


def test_without_leave_to_keep_it_every_runner_ends_with_the_trial(run):  # noqa: F811
    found = run()
    assert all(r.closed for r in (*found.candidates, *found.baselines))
