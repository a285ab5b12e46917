"""What the times of held-out sizes change in those of the public ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.judge import trial_timing
from kernel_harness.tools.judge.checks.time_budget import StageTimes
from kernel_harness.tools.judge.processes.progress import TrialCancelledError
from kernel_harness.tools.judge.timing.timed_calls import Timed
from kernel_harness.tools.judge.trial_timing import TrialTiming
from kernel_harness.tools.schema.evaluation import Failure, Stage, Status
from kernel_harness.tools.schema.measurement import Measurement, TimeSource

FAILURE = Failure(stage=Stage.TIMING, kind="wrong_values", message="m", remedy="r")
WRONG = Timed(Status.INCORRECT_NUMERICAL, FAILURE)


def sealed() -> Timed:
    measurement = Measurement(timer="cupti", cold_ns=[1_000] * 3, clock=TimeSource.SEALED)
    return Timed(measurement=measurement, baseline=measurement)


@pytest.fixture
def run(monkeypatch):
    """Times two workloads, then held-out sizes with this result."""

    def run(
        public: dict[str, Timed],
        *,
        differs: bool = False,
        held_out: Timed | None = None,
        ended: Exception | None = None,
    ):
        asked: list[str] = []
        drained: list[bool] = []

        def time_public(*_: Any) -> dict[str, Timed]:
            assert drained, "processes of an earlier trial may still be ending"
            if ended is not None:
                raise ended
            return public

        def time_held_out(*_: Any) -> Timed | None:
            asked.append("held out")
            return held_out

        monkeypatch.setattr(
            trial_timing,
            "PairedTiming",
            lambda *_: SimpleNamespace(
                run=time_public, close=lambda: None, seconds={}, results=public
            ),
        )
        monkeypatch.setattr(
            trial_timing,
            "HeldOutTiming",
            lambda *_: SimpleNamespace(run=time_held_out, replay_differs=differs),
        )
        anything: Any = SimpleNamespace(
            spawn_for_timing=None, end_with=lambda *_: None, drain=lambda: drained.append(True)
        )
        parts: Any = SimpleNamespace(context=anything, operator=None, plan=None, rng=None)
        call: Any = SimpleNamespace(collect=lambda **_: {})
        monkeypatch.setattr(trial_timing, "ProcessPairs", lambda *_: None)
        timing = TrialTiming(parts, anything, StageTimes())
        try:
            return timing.run(parts, [], call, anything), timing.timed, asked
        except TrialCancelledError:
            return "ended", timing.timed, asked

    return run


@pytest.mark.parametrize("differs", [True, False])
def test_a_wrong_replay_of_one_held_out_size_makes_every_public_time_claimed(run, differs):
    failed, timed, _ = run({"a": sealed(), "b": sealed()}, differs=differs)
    clock = TimeSource.CLAIMED if differs else TimeSource.SEALED
    assert failed is None and timed.keys() == {"a", "b"}
    for one in timed.values():
        assert one.measurement.clock is one.baseline.clock is clock


def test_a_wrong_call_ends_the_timing_before_held_out_sizes(run):
    failed, _, asked = run({"a": sealed(), "b": WRONG})
    assert failed == (WRONG.status, FAILURE) and not asked


def test_a_wrong_call_on_a_held_out_size_is_the_trials_failure(run):
    assert run({"a": sealed()}, held_out=WRONG)[0] == (WRONG.status, FAILURE)


def test_what_was_timed_before_a_trial_was_ended_is_kept(run):
    one = sealed()
    assert run({"a": one}, ended=TrialCancelledError("over")) == ("ended", {"a": one}, [])
