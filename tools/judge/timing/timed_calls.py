"""Makes timed calls: each is judged as any other call is, and its claimed times are bounded.

The candidate's clock reads CUPTI's records once for several calls, since reading them takes longer
than a short call; outputs are judged after every call all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...messages.launches import CallTimes, DeferredTimes
from ...schema.evaluation import Failure, Finding, Severity, Status
from ...schema.measurement import Measurement
from ..calls.judged_call import CallOptions, CallOutcome, JudgedCall
from ..checks import integrity
from ..checks.call_verdict import judge_call, judge_lost
from ..checks.time_budget import StageTimes
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..processes.lost import ProcessLost
from ..trial_parts import TrialParts
from .process_pairs import ProcessPair

LATE_SHARE = 0.1
BASELINE_SHARE = 0.2
"""Share of the baseline's timed calls that are verified; the candidate's all are."""


@dataclass
class Timed:
    """The result of timing one workload."""

    status: Status | None = None
    failure: Failure | None = None
    reason: str | None = None
    calls: int = 0
    measurement: Measurement | None = None
    baseline: Measurement | None = None


class WorkloadEndedError(Exception):
    """Raised to end the timing of one workload with a result."""

    def __init__(self, timed: Timed) -> None:
        super().__init__()
        self.timed = timed


class TimedCalls:
    """Makes the calls of one timing and collects findings about them."""

    def __init__(self, parts: TrialParts) -> None:
        self._timeout_s = parts.plan.call_timeout_s
        self._operator = parts.operator
        self._cancellation = parts.cancellation
        self._rng = parts.rng
        self._number = 0
        self.timer: str | None = None
        self.timer_note: str | None = None
        self.findings: list[Finding] = []
        self.times = StageTimes()

    def cold(self) -> CallOptions:
        """Options of a call with a cold L2 cache, whose times are read by `with_times`."""
        self._number += 1
        return CallOptions(
            time="cold",
            poison=self._rng.randint(0, 1),
            late=self._rng.random() < LATE_SHARE,
            timeout_s=self._timeout_s,
            defer=self._number,
        )

    def candidate(
        self,
        judged_call: JudgedCall,
        input_set: InputSet,
        options: CallOptions,
        timed: Timed,
        at: CallOutcome | None = None,
    ) -> CallOutcome:
        """One verified call of the candidate.

        Raises:
            WorkloadEndedError: when it is wrong, or claims more time than passed.
        """
        self._cancellation.check()
        with self.times.measured("candidate_calls"):
            outcome = judged_call.call(input_set, options, at.layout if at else None)
        self._cancellation.check()
        timed.calls += 1
        log = judged_call.session.log() if isinstance(outcome, ProcessLost) else ""
        with self.times.measured("verdicts"):
            verdict = judge_call(self._operator, input_set, outcome, log)
        self.add(verdict.findings)
        if isinstance(outcome, ProcessLost) or not verdict.passed:
            assert verdict.failure is not None
            failure = verdict.failure.model_copy(
                update={"message": f"In timed call {timed.calls}: {verdict.failure.message}"}
            )
            raise WorkloadEndedError(Timed(verdict.status, failure, calls=timed.calls))
        self._require_possible(outcome, input_set.case, timed)
        return outcome

    def baseline(
        self,
        pair: ProcessPair,
        input_set: InputSet,
        options: CallOptions,
        at: CallOutcome | None = None,
    ) -> CallOutcome | None:
        """One call of the baseline; None when it failed, which is only noted."""
        assert pair.baseline is not None
        if options.time == "cold" and self._rng.random() >= BASELINE_SHARE:
            options = replace(options, examine=False, late=False)
        outcome = pair.baseline.call(input_set, options, at.layout if at else None)
        self._cancellation.check()
        if isinstance(outcome, ProcessLost):
            self._lose_baseline(pair, outcome)
            return None
        if not options.examine and outcome.called.fault is None:
            return outcome
        verdict = judge_call(self._operator, input_set, outcome)
        if verdict.failure is not None:
            self.note("baseline", f"The baseline is wrong here: {verdict.failure.message[:400]}")
            if outcome.called.fault is not None:
                return None
        return outcome

    def with_times(
        self, judged_call: JudgedCall, made: Sequence[CallOutcome], case: Case, timed: Timed
    ) -> list[CallOutcome]:
        """The candidate's outcomes with the times of its clock.

        Raises:
            WorkloadEndedError: when the process is lost, has no clock, or claims the impossible.
        """
        with self.times.measured("times_read"):
            times = judged_call.collect()
        self._cancellation.check()
        if isinstance(times, ProcessLost):
            verdict = judge_lost(times, case, judged_call.session.log())
            self.add(verdict.findings)
            raise WorkloadEndedError(Timed(verdict.status, verdict.failure, calls=timed.calls))
        outcomes = [_completed(outcome, times) for outcome in made]
        for outcome in outcomes:
            self._require_timer(outcome)
            self._require_possible(outcome, case, timed)
        return outcomes

    def with_baseline_times(
        self, pair: ProcessPair, made: Sequence[CallOutcome | None]
    ) -> list[CallOutcome | None]:
        """The baseline's outcomes with their times; None for calls without."""
        if pair.baseline is None:
            return [None] * len(made)
        times = pair.baseline.collect()
        self._cancellation.check()
        if isinstance(times, ProcessLost):
            self._lose_baseline(pair, times)
            return [None] * len(made)
        complete = [_completed(one, times) if one else None for one in made]
        return [one if one and one.called.span_ns is not None else None for one in complete]

    def note(self, claim: str, message: str) -> None:
        """Adds a finding that only informs."""
        self.add([Finding(claim=claim, severity=Severity.NOTE, message=message)])

    def add(self, findings: Sequence[Finding]) -> None:
        """Adds findings, at most three different ones of a claim."""
        for finding in findings:
            known = [f for f in self.findings if f.claim == finding.claim]
            if len(known) < 3 and all(f.message != finding.message for f in known):
                self.findings.append(finding)

    def refused(self, violation: Finding, case: Case, calls: int = 0) -> Timed:
        """The result of a workload that ends with a violation, which is noted."""
        self.add([violation])
        status, failure = integrity.violation(violation, case)
        return Timed(status, failure, calls=calls)

    def _lose_baseline(self, pair: ProcessPair, lost: ProcessLost) -> None:
        assert pair.baseline is not None
        self.note("baseline", f"The baseline's process was lost: {lost.detail}")
        pair.baseline.close()
        pair.baseline = None

    def _require_timer(self, outcome: CallOutcome) -> None:
        called = outcome.called
        if called.span_ns is None or called.timer is None:
            reason = f"no timer: {called.timer_note or 'the clock saw nothing of the call'}"
            raise WorkloadEndedError(Timed(reason=reason))
        self.timer, self.timer_note = called.timer, called.timer_note

    def _require_possible(self, outcome: CallOutcome, case: Case, timed: Timed) -> None:
        violation = integrity.worst(integrity.clock_agrees(outcome))
        if violation is not None:
            raise WorkloadEndedError(self.refused(violation, case, timed.calls))


def _completed(outcome: CallOutcome, times: dict[int, DeferredTimes]) -> CallOutcome:
    found = times.get(outcome.number) if outcome.number is not None else None
    if found is None or outcome.called.span_ns is not None:
        return outcome
    update = {name: getattr(found, name) for name in CallTimes.model_fields}
    return replace(outcome, called=outcome.called.model_copy(update=update))
