"""Timed calls one by one: each is verified, and what they claim of their time is bounded."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from kernel_harness.tools.judge.calls.judged_call import CallOptions, CallOutcome
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.judge.processes.progress import (
    Cancellation,
    Reporter,
    TrialCancelledError,
)
from kernel_harness.tools.judge.timing.process_pairs import ProcessPair
from kernel_harness.tools.judge.timing.timed_calls import (
    BASELINE_SHARE,
    LATE_SHARE,
    Timed,
    TimedCalls,
    WorkloadEndedError,
)
from kernel_harness.tools.judge.trial_parts import TrialParts
from kernel_harness.tools.schema.evaluation import Finding, Severity, Status

from ....judging import make_plan, make_solution
from ..scripted import CASE, CPU, ScriptedSession, affine, honest, input_set, judged_call

WARM = CallOptions(time="warm")
LOST = ProcessLost("crash", "It died.", -11)


def wrong(x, w, table, alpha):
    y, row = honest(x, w, table, alpha)
    return y + 1, row


def timed_calls(cancellation: Cancellation | None = None, seed: int = 1) -> TimedCalls:
    plan = make_plan(make_solution("def run(): pass\n", definition="affine_n64"))
    nowhere: Any = None
    operator = affine()
    return TimedCalls(
        TrialParts(
            plan,
            nowhere,
            InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(1 << 20)),
            Reporter(lambda message: None, plan.evaluation_id),
            cancellation or Cancellation(),
            random.Random(seed),
            deadline=0.0,
        )
    )


def pair_of(compute: Callable[..., Any] = honest, **options: Any) -> ProcessPair:
    baseline = judged_call(ScriptedSession(compute, **options), seed=2)
    return ProcessPair(judged_call(ScriptedSession(honest)), baseline)


def test_cold_calls_are_numbered_and_vary_in_what_a_candidate_could_count_on():
    calls = timed_calls()
    options = [calls.cold() for _ in range(400)]
    assert [o.defer for o in options] == list(range(1, 401))
    assert {o.poison for o in options} == {0, 1} and {o.time for o in options} == {"cold"}
    late = sum(o.late for o in options) / 400
    assert 0.2 * LATE_SHARE < late < 3 * LATE_SHARE


def test_a_wrong_call_ends_the_workload_and_says_which_it_was():
    calls, timed = timed_calls(), Timed(calls=4)
    with pytest.raises(WorkloadEndedError) as ended:
        calls.candidate(judged_call(ScriptedSession(wrong)), input_set(), calls.cold(), timed)
    found = ended.value.timed
    assert found.status is Status.INCORRECT_NUMERICAL and found.calls == 5
    assert found.failure is not None and found.failure.message.startswith("In timed call 5:")


def test_a_cancelled_call_is_no_verdict_on_the_candidate():
    """Its process was killed by the cancellation, which must not look like a crash."""
    cancellation = Cancellation()

    class Cancelling(ScriptedSession):
        def _call(self, request: Any) -> Any:
            cancellation.cancel()
            return LOST

    calls = timed_calls(cancellation)
    call = judged_call(Cancelling(honest))
    with pytest.raises(TrialCancelledError):
        calls.candidate(call, input_set(), calls.cold(), Timed())


def test_a_time_longer_than_the_judge_waited_ends_the_workload():
    calls = timed_calls()
    with pytest.raises(WorkloadEndedError) as ended:
        calls.candidate(judged_call(ScriptedSession(honest, [10**15])), input_set(), WARM, Timed())
    assert ended.value.timed.status is Status.INTEGRITY_VIOLATION and calls.findings


def test_most_cold_calls_of_a_baseline_are_not_examined_and_all_others_are():
    calls, pair = timed_calls(), pair_of()
    cold = [calls.baseline(pair, input_set(), calls.cold()) for _ in range(60)]
    examined = sum(bool(outcome and outcome.outputs) for outcome in cold) / 60
    assert 0.2 * BASELINE_SHARE < examined < 3 * BASELINE_SHARE
    warm = calls.baseline(pair, input_set(), WARM)
    assert warm is not None and warm.outputs


def test_a_wrong_baseline_is_noted_once_and_its_time_stays():
    calls, pair = timed_calls(), pair_of(wrong)
    made = [calls.baseline(pair, input_set(), WARM) for _ in range(3)]
    assert all(isinstance(outcome, CallOutcome) for outcome in made)
    assert {f.claim for f in calls.findings} == {"baseline"}
    assert all(f.severity is Severity.NOTE for f in calls.findings)


def test_a_lost_baseline_leaves_its_pair():
    calls, pair = timed_calls(), pair_of(lost_at=(1, LOST))
    lost = pair.baseline
    assert calls.baseline(pair, input_set(), WARM) is None
    assert lost is not None and lost.session.closed and pair.baseline is None  # pyright: ignore[reportAttributeAccessIssue]
    assert "It died." in calls.findings[0].message
    assert calls.with_baseline_times(pair, [None, None]) == [None, None]


def made_cold(calls: TimedCalls, session: ScriptedSession, count: int = 2) -> Any:
    call = judged_call(session)
    return call, [calls.candidate(call, input_set(), calls.cold(), Timed()) for _ in range(count)]


def test_deferred_times_are_those_of_their_calls_and_the_timer_is_kept():
    calls = timed_calls()
    call, made = made_cold(calls, ScriptedSession(honest, [5_000, 6_000]))
    assert [outcome.called.span_ns for outcome in made] == [None, None]
    complete = calls.with_times(call, made, CASE, Timed())
    assert [outcome.called.span_ns for outcome in complete] == [5_000, 6_000]
    assert calls.timer == "cupti"


def test_a_call_that_no_clock_saw_ends_the_workload_without_a_verdict():
    calls = timed_calls()
    call, made = made_cold(calls, ScriptedSession(honest, None))
    with pytest.raises(WorkloadEndedError) as ended:
        calls.with_times(call, made, CASE, Timed())
    timed = ended.value.timed
    assert timed.status is None and timed.reason is not None and "no timer" in timed.reason


def test_a_deferred_time_longer_than_its_call_ends_the_workload():
    calls = timed_calls()
    call, made = made_cold(calls, ScriptedSession(honest, [10**15]))
    with pytest.raises(WorkloadEndedError) as ended:
        calls.with_times(call, made, CASE, Timed())
    assert ended.value.timed.status is Status.INTEGRITY_VIOLATION


def test_a_baseline_without_times_has_none():
    calls, pair = timed_calls(), pair_of(spans_ns=None)
    made = [calls.baseline(pair, input_set(), calls.cold()) for _ in range(2)]
    assert calls.with_baseline_times(pair, made) == [None, None]


def test_a_claim_is_told_at_most_three_times_and_no_message_twice():
    calls = timed_calls()
    for message in ("a", "a", "b", "c", "d"):
        calls.note("processes", message)
    calls.add([Finding(claim="baseline", severity=Severity.NOTE, message="a")])
    assert [(f.claim, f.message) for f in calls.findings] == [
        ("processes", "a"),
        ("processes", "b"),
        ("processes", "c"),
        ("baseline", "a"),
    ]
