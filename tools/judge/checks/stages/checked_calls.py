"""Calls of one trial, each with its verdict: what every stage of the checks makes its calls by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....schema.evaluation import Finding
from ...calls.judged_call import CallOptions, CallOutcome, JudgedCall, has_outputs
from ...operators.input_sets import InputSet
from ...operators.operator_adapter import Case
from ...operators.sampled_draws import SampledDraws
from ...processes.lost import ProcessLost
from ...trial_parts import TrialParts
from ..call_verdict import CallVerdict, CaseRecord, judge_call
from ..failures import shielded_finding
from ..time_budget import TimeBudget


class CheckedCalls:
    """Makes the calls of a trial, judges each, and keeps what was found of every case.

    Args:
        judged_call: the candidate's process.

    Attributes:
        records: by uuid, in the order in which the cases were begun.
        done: the checks that ran.
        not_run: by check, why it did not run as asked for.
        draws: those of every call that was right, of outputs that are drawn.
    """

    def __init__(self, judged_call: JudgedCall, parts: TrialParts, time_budget: TimeBudget) -> None:
        self.judged_call, self.time_budget = judged_call, time_budget
        self._operator, self._cancellation = parts.operator, parts.cancellation
        self.poison = parts.rng.randint(0, 1)
        """Which of the two patterns the next call's outputs hold."""
        self.records: dict[str, CaseRecord] = {}
        self.findings: list[Finding] = []
        self.done: list[str] = []
        self.not_run: dict[str, str] = {}
        self.draws = SampledDraws(parts.operator, parts.rng)

    @property
    def failed(self) -> CaseRecord | None:
        """The first case that failed."""
        return next((r for r in self.records.values() if r.failure is not None), None)

    def with_outputs(self, cases: Sequence[Case]) -> list[CaseRecord]:
        """Those of the cases that passed and whose outputs are not empty."""
        definition = self._operator.definition
        records = [self.records[c.uuid] for c in cases if c.uuid in self.records]
        return [r for r in records if r.passed and has_outputs(definition, r.case)]

    def has_time_for(self, record: CaseRecord, times: float) -> bool:
        """Whether a call of so many times the length of the record's fits into the budget."""
        slow = self.time_budget.reference_left_s <= 0
        return not slow and times * record.seconds_per_call < self.time_budget.left_s

    def fresh(
        self, record: CaseRecord, input_set: InputSet
    ) -> tuple[CallVerdict, CallOutcome | ProcessLost]:
        """Calls on inputs at new addresses, and keeps what a right call drew."""
        verdict, outcome = self.call(record, input_set)
        if verdict.passed and isinstance(outcome, CallOutcome):
            self.draws.note(input_set.inputs, outcome.outputs)
        return verdict, outcome

    def call(
        self,
        record: CaseRecord,
        input_set: InputSet,
        options: CallOptions | None = None,
        *,
        at: CallOutcome | None = None,
        judged_call: JudgedCall | None = None,
    ) -> tuple[CallVerdict, CallOutcome | ProcessLost]:
        """Calls once, judges the call and notes the verdict.

        Args:
            options: None: an ordinary call, whose outputs hold a pattern before.
            at: an earlier call, at whose addresses the tensors lie; None: at new ones.
            judged_call: another process than the candidate's first.
        """
        judged_call = judged_call or self.judged_call
        self._cancellation.check()
        options = options or CallOptions(poison=self.poison)
        self.poison ^= 1
        options = replace(options, timeout_s=self.time_budget.call_timeout_s)
        outcome = judged_call.call(input_set, options, at.layout if at else None)
        self._cancellation.check()
        log = judged_call.session.log() if isinstance(outcome, ProcessLost) else ""
        verdict = judge_call(self._operator, input_set, outcome, log)
        self._note(record, verdict)
        return verdict, outcome

    def _note(self, record: CaseRecord, verdict: CallVerdict) -> None:
        record.add(verdict)
        for finding in verdict.findings:
            if all(f.claim != finding.claim for f in self.findings):
                self.findings.append(shielded_finding(finding, record.case))
