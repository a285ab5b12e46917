"""Checks the workloads of a plan, cheapest first, so that a wrong candidate fails soon.

Each gets fresh inputs at fresh addresses, then perturbed inputs at the addresses of the call
before, which finds results kept by address; some also get other input families. Without a GPU a
time budget decides what is run; the rest is NOT_RUN, never passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ....errors import DatasetError
from ....messages.launches import CallLaunches
from ....schema.evaluation import Stage, Status
from ...calls.judged_call import CallOutcome
from ...operators.input_sets import DERIVED, InputSet, pick_families
from ...operators.operator_adapter import Case
from ...trial_parts import TrialParts
from ..call_verdict import CaseRecord
from ..time_budget import HOST_RATE, Estimate
from .checked_calls import CheckedCalls

CHEAP_CALL_S = 0.2
DEEP_CALL_S = 0.5
"""Without a GPU, only cases with quicker calls get perturbed inputs and families."""


class PublicCases:
    """The checks of a plan's workloads.

    Args:
        when_right: called after each first call that is right.
    """

    def __init__(
        self, calls: CheckedCalls, parts: TrialParts, when_right: Callable[[], object]
    ) -> None:
        self._calls, self._when_right = calls, when_right
        self._time_budget = calls.time_budget
        self._generator, self._operator = parts.generator, parts.operator
        self._checks, self._rng = parts.plan.checks, parts.rng
        self._reporter = parts.reporter
        self.estimate = Estimate(self._time_budget.rate)
        """Of the seconds of a call, by its work."""
        self._reference_estimate = Estimate(HOST_RATE)
        self.launches: dict[str, CallLaunches] = {}
        """By workload, what was interpreted in its first call."""

    def run(self, cases: Sequence[Case]) -> None:
        """Checks the cases in order; after a failure only those that tell more of it."""
        stop_at = self._time_budget.deadline
        for position, case in enumerate(cases):
            record = self._calls.records[case.uuid] = CaseRecord(case)
            before = self._calls.failed
            if before is not None and not self._worth_knowing(before, stop_at):
                _skip(record, "an earlier workload failed")
                continue
            self._reporter.step(
                Stage.CORRECTNESS, f"checking workload {position + 1} of {len(cases)}"
            )
            if self._affordable(record):
                self._check_case(record, first=not self._calls.with_outputs(cases))
            if before is None and self._calls.failed is not None:
                stop_at = time.monotonic() + self._time_budget.after_failure_s

    def _worth_knowing(self, failed: CaseRecord, stop_at: float) -> bool:
        """Whether to check more workloads after a failure: wrong values only, quick calls."""
        return (
            failed.status is Status.INCORRECT_NUMERICAL
            and failed.seconds_per_call < CHEAP_CALL_S
            and time.monotonic() < stop_at
        )

    def _affordable(self, record: CaseRecord) -> bool:
        work, trials = self._operator.cost(record.case).work, self._checks.trials
        lacking = self._time_budget.lacking(
            trials * self.estimate.seconds(work), trials * self._reference_estimate.seconds(work)
        )
        if lacking:
            _skip(record, lacking)
        return not lacking

    def _check_case(self, record: CaseRecord, *, first: bool) -> None:
        try:
            if self._generator.book.recorded(record.case) is not None:
                self._check_again(record)
            else:
                self._check(record, first=first)
        except DatasetError as fault:
            if self._calls.failed is None:
                raise
            # What was found before stands.
            _skip(record, str(fault))

    def _check(self, record: CaseRecord, *, first: bool) -> None:
        began, before = time.monotonic(), self._generator.seconds
        input_set = self._generator.generate(record.case)
        verdict, outcome = self._calls.fresh(record, input_set)
        if isinstance(outcome, CallOutcome):
            self.launches[record.case.uuid] = outcome.called.interpreted
        elapsed, reference_s = time.monotonic() - began, self._generator.seconds - before
        record.seconds_per_call = elapsed - reference_s
        work = self._operator.cost(record.case).work
        self.estimate.add(work, record.seconds_per_call)
        self._reference_estimate.add(work, reference_s)
        if verdict.passed:
            self._when_right()
        for _ in range(self._checks.trials - 1):
            if not verdict.passed:
                return
            input_set = self._generator.generate(record.case)
            verdict, outcome = self._calls.fresh(record, input_set)
        if not verdict.passed or self._calls.failed is not None:
            return
        deep = first or not self._time_budget.interpreted or elapsed < DEEP_CALL_S
        if not deep or not self._calls.has_time_for(record, 1.0):
            why = "left out on workloads that are slow without a GPU"
            self._calls.not_run["twins_and_families"] = why
            return
        assert isinstance(outcome, CallOutcome)
        self._check_perturbed_and_families(record, input_set, outcome)

    def _check_perturbed_and_families(
        self, record: CaseRecord, input_set: InputSet, outcome: CallOutcome
    ) -> None:
        """Calls on perturbed inputs where those of a call lay, then on other families' inputs."""
        perturbed = self._generator.perturbed(input_set)
        verdict, _ = self._calls.call(record, perturbed, at=outcome)
        for family in pick_families(self._operator.families, self._checks.families, self._rng):
            if verdict.passed:
                inputs = self._generator.generate(record.case, family)
                verdict, _ = self._calls.fresh(record, inputs)

    def _check_again(self, record: CaseRecord) -> None:
        """Repeats every recorded input set of the case in order, those of timed calls included."""
        base, at = None, None
        while record.failure is None:
            family = self._generator.book.recorded(record.case)
            if family is None:
                return
            if self._time_budget.left_s <= 0:
                why = "the budget of time ended before the last recorded inputs"
                self._calls.not_run["replay"] = why
                return
            if base is not None and family in DERIVED:
                self._calls.call(record, self._generator.derived(base, family), at=at)
            else:
                base = self._generator.generate(record.case, family)
                _, outcome = self._calls.fresh(record, base)
                at = outcome if isinstance(outcome, CallOutcome) else None
                if at is not None:
                    self.launches.setdefault(record.case.uuid, at.called.interpreted)


def _skip(record: CaseRecord, reason: str) -> None:
    record.status, record.reason = Status.NOT_RUN, reason
