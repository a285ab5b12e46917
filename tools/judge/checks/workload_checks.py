"""Checks correctness and integrity of one candidate over the cases of a plan.

The plan's workloads come first, then what only a right candidate meets: held-out cases in a process
of their own, many calls, repeated ones, and a call with its kernels disabled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...messages.launches import CallLaunches
from ...schema.drawn_inputs import HeldOutResult
from ...schema.evaluation import Stage
from ..calls.judged_call import CallOptions, CallOutcome, JudgedCall
from ..operators.held_out_cases import HELD_OUT, HeldOutCases
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..trial_parts import TrialParts
from . import integrity
from .call_verdict import CallVerdict, CaseRecord, not_ready
from .held_out_checks import HeldOutChecks
from .held_out_process import HeldOutProcess
from .stages.checked_calls import CheckedCalls
from .stages.public_cases import PublicCases
from .stages.repeated_calls import RepeatedCalls
from .time_budget import TimeBudget


class Checking:
    """The correctness and integrity checks of one trial.

    Args:
        when_right: called after calls that are right; gives the process of held-out cases.
    """

    def __init__(
        self,
        judged_call: JudgedCall,
        parts: TrialParts,
        time_budget: TimeBudget,
        when_right: Callable[[], HeldOutProcess | None],
    ) -> None:
        self._parts, self._time_budget, self._when_right = parts, time_budget, when_right
        self._calls = CheckedCalls(judged_call, parts, time_budget)
        self._public = PublicCases(self._calls, parts, when_right)
        self.repeated = RepeatedCalls(self._calls, parts)
        self.records, self.findings = self._calls.records, self._calls.findings
        self.done, self.not_run = self._calls.done, self._calls.not_run
        self.launches = self._public.launches
        self.held_out: HeldOutResult | None = None
        self.held_out_to_time: Sequence[Case] = ()
        self.held_out_call: JudgedCall | None = None
        """The process in which held-out cases were checked."""

    def run(self, cases: Sequence[Case], held_out: HeldOutCases) -> None:
        """Checks the cases in order, then the rest; stops at the first stage that fails.

        Args:
            held_out: cases that are never shown.
        """
        checks, began = self._parts.plan.checks, time.monotonic()
        self._public.run(cases)
        self.done += ["correctness", "poisoned_outputs", *integrity.AFTER_CALL]
        if self.failed is None and self.anything_passed:
            if process := self._when_right():
                self._held_out(held_out, process, began)
            elif checks.held_out and not self._parts.operator.definition.var_axes:
                # It has one size, and none of its scalars can vary: there is nothing to hold out.
                self.held_out = HeldOutResult(legal=0, chance=1.0)
                self.done.append(HELD_OUT)
        if self.failed is None and (checks.correctness_budget or self._calls.draws):
            self.repeated.many(cases)
        if self.failed is None and checks.determinism_runs > 1:
            self.repeated.repeat(cases)
        if self.failed is None and checks.ghost_replay:
            self.repeated.with_kernels_disabled(cases)

    @property
    def failed(self) -> CaseRecord | None:
        """The first case that failed."""
        return self._calls.failed

    @property
    def seconds_left(self) -> float:
        """Seconds of the budget that are left."""
        return self._time_budget.left_s

    def passed(self, case: Case) -> bool:
        """Whether the case was run and passed."""
        return case.uuid in self.records and self.records[case.uuid].passed

    @property
    def anything_passed(self) -> bool:
        """Whether at least one case passed."""
        return any(record.passed for record in self.records.values())

    def has_time_for(self, record: CaseRecord, times: float) -> bool:
        """Whether a call of so many times the length of the record's fits into the budget."""
        return self._calls.has_time_for(record, times)

    def call_again(
        self, record: CaseRecord, options: CallOptions, judged_call: JudgedCall | None, words: str
    ) -> CallLaunches | None:
        """Calls on the workload's first inputs once more; returns what was interpreted, if right.

        Args:
            judged_call: another process; None: the one that was judged.
            words: put before the message of a failure.
        """
        self._parts.reporter.step(Stage.INTEGRITY, "interpreting what is launched on targets")
        input_set = self._parts.generator.repeated(record.case)
        verdict, outcome = self._calls.call(record, input_set, options, judged_call=judged_call)
        if verdict.passed and isinstance(outcome, CallOutcome):
            return outcome.called.interpreted
        if record.failure is not None:
            message = f"{words}{record.failure.message}"
            record.failure = record.failure.model_copy(update={"message": message})
        return None

    def _held_out(
        self, drawn: HeldOutCases, held_out_process: HeldOutProcess, began: float
    ) -> None:
        """Checks the held-out cases; `began` is when the checks of public ones did."""
        fault = held_out_process.ready(self._calls.judged_call.session)
        self._parts.cancellation.check()
        if fault is not None:
            self.records[drawn.cases[0].uuid] = not_ready(fault, drawn.cases[0])
            return
        process = held_out_process.judged_call

        def call(record: CaseRecord, input_set: InputSet) -> CallVerdict:
            options = CallOptions(poison=self._calls.poison, worn=True)
            return self._calls.call(record, input_set, options, judged_call=process)[0]

        budget, estimate = self._time_budget, self._public.estimate
        checks = HeldOutChecks(drawn, call, self._parts, budget, estimate, began)
        if (failed := checks.run()) is not None:
            self.records[failed.case.uuid] = failed
        elif checks.not_run is not None:
            self.not_run[HELD_OUT] = checks.not_run
        self.held_out, self.held_out_to_time = checks.result, checks.to_time
        self.held_out_call = process
        held_out_process.over(self._parts)
        self.done.append(HELD_OUT)
