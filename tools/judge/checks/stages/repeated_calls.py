"""Checks of a candidate that was right: many calls, the same one again, and one without kernels."""

from __future__ import annotations

from collections.abc import Sequence

from ....schema.evaluation import Stage, Status
from ...calls.judged_call import CallOptions, CallOutcome
from ...operators.operator_adapter import Case
from ...operators.sampled_draws import DISTRIBUTION
from ...processes.lost import ProcessLost
from ...trial_parts import TrialParts
from .. import integrity
from ..call_verdict import CaseRecord, call_it_flaky, judge_call
from ..failures import mismatch_failure
from .checked_calls import CheckedCalls

GRADES = ("bitwise", "within_tolerance", "flaky")


class RepeatedCalls:
    """Further calls on the workloads that passed."""

    def __init__(self, calls: CheckedCalls, parts: TrialParts) -> None:
        self._calls = calls
        self._generator, self._operator = parts.generator, parts.operator
        self._checks, self._rng = parts.plan.checks, parts.rng
        self._reporter, self._cancellation = parts.reporter, parts.cancellation
        self.determinism: str | None = None
        """How alike the outputs of repeated calls were; None where none was repeated."""
        self.lost_process = False
        """Whether the process was lost through no fault of the candidate."""
        self.launched_nothing = False
        """Whether no kernel of its own could be disabled in a call that was right."""

    def many(self, cases: Sequence[Case]) -> None:
        """Checks random families of random workloads until calls and draws are enough."""
        calls = self._calls
        passed = calls.with_outputs(cases)
        made = sum(record.calls for record in calls.records.values())
        due = self._checks.correctness_budget
        while passed and calls.failed is None and (made < due or calls.draws.missing):
            record = self._rng.choice(passed)
            if not calls.has_time_for(record, 2.0):
                calls.not_run["many_calls"] = f"the budget of time ended after {made} calls"
                break
            self._reporter.step(Stage.CORRECTNESS, f"checked {made} calls")
            family = self._rng.choice(self._operator.families)
            calls.fresh(record, self._generator.generate(record.case, family))
            made += 1
        calls.done.append("many_calls")
        if calls.draws and passed and calls.failed is None:
            self._judge_draws(passed[0])

    def _judge_draws(self, record: CaseRecord) -> None:
        """Judges all draws together; what is wrong is noted with one of their workloads."""
        self._calls.done.append(DISTRIBUTION)
        if (wrong := self._calls.draws.wrong()) is not None:
            record.status, record.failure = mismatch_failure(wrong[1], record.case, wrong[0])
        elif missing := self._calls.draws.missing:
            self._calls.not_run[DISTRIBUTION] = missing

    def repeat(self, cases: Sequence[Case]) -> None:
        """Repeats calls on the same inputs at other addresses, poisons and streams, with noise."""
        passed = self._calls.with_outputs(cases)
        interpreted = self._calls.time_budget.interpreted
        ends = passed[:1] if interpreted else [*passed[:1], *passed[-1:]]
        chosen = {record.case.uuid: record for record in ends}
        grades: list[str] = []
        for record in chosen.values():
            if not self._calls.has_time_for(record, self._checks.determinism_runs):
                self._calls.not_run["determinism"] = "the budget of time was used up"
                continue
            self._reporter.step(Stage.INTEGRITY, "repeating a call under other conditions")
            grades.append(self._repeated(record))
        if grades:
            self.determinism = max(grades, key=GRADES.index)
            self._calls.done.append("determinism")

    def _repeated(self, record: CaseRecord) -> str:
        """Repeats one call; the grade of its outputs."""
        input_set = self._generator.generate(record.case)
        kept: list[CallOutcome] = []
        for run in range(self._checks.determinism_runs):
            stream = "side" if run % 4 == 1 else "default"
            options = CallOptions(stream=stream, noise=run % 4 == 2, worn=run % 2 == 1)
            verdict, outcome = self._calls.call(record, input_set, options)
            if isinstance(outcome, ProcessLost) or not verdict.passed:
                if kept and verdict.status is Status.INCORRECT_NUMERICAL:
                    call_it_flaky(record, run + 1)
                    return "flaky"
                return "within_tolerance"
            kept.append(outcome)
        alike = all(integrity.same_outputs(kept[0], other) for other in kept[1:])
        draws = self._calls.draws
        same = draws.repeated(input_set.inputs, kept[0].outputs) if alike else None
        if same is not None:
            record.status, record.failure = mismatch_failure(same[1], record.case, same[0])
        return "bitwise" if alike else "within_tolerance"

    def with_kernels_disabled(self, cases: Sequence[Case]) -> None:
        """Calls once with the candidate's own kernels disabled: the outputs must be wrong then."""
        calls = self._calls
        record = next(iter(calls.with_outputs(cases)), None)
        if record is None:
            return
        input_set = self._generator.generate(record.case)
        self._cancellation.check()
        timeout_s = calls.time_budget.call_timeout_s
        options = CallOptions(disable_kernels=True, timeout_s=timeout_s, poison=calls.poison)
        outcome = calls.judged_call.call(input_set, options)
        if isinstance(outcome, ProcessLost):
            why = "the candidate's process ended with its kernels disabled"
            calls.not_run["ghost_replay"] = why
            self.lost_process = True
            return
        fault = outcome.called.fault
        if fault is not None and fault.kind == "kernels_not_disabled":
            calls.not_run["ghost_replay"] = fault.message
            self.launched_nothing = True
            return
        right = fault is None and judge_call(self._operator, input_set, outcome).passed
        findings = integrity.own_kernels_do_the_work(right)
        calls.findings += findings
        if findings:
            record.status, record.failure = integrity.violation(findings[0], record.case)
        calls.done.append("ghost_replay")
