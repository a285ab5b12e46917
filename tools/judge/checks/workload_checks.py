"""Checks correctness and integrity of one candidate over the cases of a plan.

The cheapest case comes first, so that a wrong candidate fails soon. Each case gets fresh inputs at
fresh addresses, then perturbed inputs at the addresses of the call before, which finds results kept
by address; some cases also get other input families. Then follow held-out cases, repeated calls
(determinism) and a call with the candidate's kernels disabled. Without a GPU a time budget decides
what is run; the rest is NOT_RUN, never passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ...errors import DatasetError
from ...messages.launches import CallLaunches
from ...schema.drawn_inputs import HeldOutResult
from ...schema.evaluation import Finding, Stage, Status
from ..calls.judged_call import CallOptions, CallOutcome, JudgedCall, has_outputs
from ..operators.held_out_cases import HELD_OUT, HeldOutCases
from ..operators.input_sets import DERIVED, InputSet, pick_families
from ..operators.operator_adapter import Case
from ..operators.sampled_draws import DISTRIBUTION, SampledDraws
from ..processes.lost import ProcessLost
from ..trial_parts import TrialParts
from . import integrity
from .call_verdict import CallVerdict, CaseRecord, call_it_flaky, judge_call, not_ready
from .failures import mismatch_failure, shielded_finding
from .held_out_checks import HeldOutChecks
from .held_out_process import HeldOutProcess
from .time_budget import HOST_RATE, Estimate, TimeBudget

CHEAP_CALL_S = 0.2
DEEP_CALL_S = 0.5
"""Without a GPU, only cases with quicker calls get perturbed inputs and families."""


GRADES = ("bitwise", "within_tolerance", "flaky")


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
        self._judged_call = judged_call
        self._parts = parts
        self._generator, self._operator = parts.generator, parts.operator
        self._checks, self._rng = parts.plan.checks, parts.rng
        self._time_budget, self._when_right = time_budget, when_right
        self._reporter, self._cancellation = parts.reporter, parts.cancellation
        self._estimate = Estimate(time_budget.rate)
        self._reference_estimate = Estimate(HOST_RATE)
        self._poison = parts.rng.randint(0, 1)
        self._began = time.monotonic()
        self.records: dict[str, CaseRecord] = {}
        self.findings: list[Finding] = []
        self.done: list[str] = []
        self.not_run: dict[str, str] = {}
        self.determinism: str | None = None
        self.held_out: HeldOutResult | None = None
        self.held_out_to_time: Sequence[Case] = ()
        self.held_out_call: JudgedCall | None = None
        """The process in which held-out cases were checked."""
        self.lost_process = False
        """Whether the process was lost through no fault of the candidate."""
        self.launches: dict[str, CallLaunches] = {}
        """By workload, what was interpreted in its first call."""
        self._draws = SampledDraws(self._operator, parts.rng)
        self.launched_nothing = False
        """Whether no kernel of its own could be disabled in a call that was right."""

    def run(self, cases: Sequence[Case], held_out: HeldOutCases) -> None:
        """Checks the cases in order, then the rest; stops at the first stage that fails.

        Args:
            held_out: cases that are never shown.
        """
        self._began = time.monotonic()
        self._checked_cases(cases)
        self.done += ["correctness", "poisoned_outputs", *integrity.AFTER_CALL]
        if self.failed is None and self.anything_passed and (process := self._when_right()):
            self._held_out(held_out, process)
        if self.failed is None and (self._checks.correctness_budget or self._draws):
            self._many_calls(cases)
        if self.failed is None and self._checks.determinism_runs > 1:
            self._determinism(cases)
        if self.failed is None and self._checks.ghost_replay:
            self._with_kernels_disabled(cases)

    @property
    def failed(self) -> CaseRecord | None:
        """The first case that failed."""
        return next((r for r in self.records.values() if r.failure is not None), None)

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

    def _checked_cases(self, cases: Sequence[Case]) -> None:
        stop_at = self._time_budget.deadline
        for position, case in enumerate(cases):
            record = self.records[case.uuid] = CaseRecord(case)
            if self.failed is not None and not self._worth_knowing(stop_at):
                self._skip(record, "an earlier workload failed")
                continue
            self._reporter.step(
                Stage.CORRECTNESS, f"checking workload {position + 1} of {len(cases)}"
            )
            before = self.failed
            if self._affordable(record):
                self._check_case(record, first=not self._with_outputs(cases))
            if before is None and self.failed is not None:
                stop_at = time.monotonic() + self._time_budget.after_failure_s

    def _check_case(self, record: CaseRecord, *, first: bool) -> None:
        try:
            if self._generator.book.recorded(record.case) is not None:
                self._check_again(record)
            else:
                self._check(record, first=first)
        except DatasetError as fault:
            if self.failed is None:
                raise
            # What was found before stands.
            self._skip(record, str(fault))

    def _worth_knowing(self, stop_at: float) -> bool:
        """Whether to check more workloads after a failure: wrong values only, quick calls."""
        failed = self.failed
        assert failed is not None and failed.failure is not None
        return (
            failed.status is Status.INCORRECT_NUMERICAL
            and failed.seconds_per_call < CHEAP_CALL_S
            and time.monotonic() < stop_at
        )

    def _affordable(self, record: CaseRecord) -> bool:
        work, trials = self._operator.cost(record.case).work, self._checks.trials
        lacking = self._time_budget.lacking(
            trials * self._estimate.seconds(work), trials * self._reference_estimate.seconds(work)
        )
        if lacking:
            self._skip(record, lacking)
        return not lacking

    def _check(self, record: CaseRecord, *, first: bool) -> None:
        began, before = time.monotonic(), self._generator.seconds
        input_set = self._generator.generate(record.case)
        verdict, outcome = self._fresh(record, input_set)
        if isinstance(outcome, CallOutcome):
            self.launches[record.case.uuid] = outcome.called.interpreted
        elapsed, reference_s = time.monotonic() - began, self._generator.seconds - before
        record.seconds_per_call = elapsed - reference_s
        work = self._operator.cost(record.case).work
        self._estimate.add(work, record.seconds_per_call)
        self._reference_estimate.add(work, reference_s)
        if verdict.passed:
            self._when_right()
        for _ in range(self._checks.trials - 1):
            if not verdict.passed:
                return
            input_set = self._generator.generate(record.case)
            verdict, outcome = self._fresh(record, input_set)
        if not verdict.passed or self.failed is not None:
            return
        deep = first or not self._time_budget.interpreted or elapsed < DEEP_CALL_S
        if not deep or not self.has_time_for(record, 1.0):
            self.not_run["twins_and_families"] = "left out on workloads that are slow without a GPU"
            return
        assert isinstance(outcome, CallOutcome)
        self._check_perturbed_and_families(record, input_set, outcome)

    def _check_perturbed_and_families(
        self, record: CaseRecord, input_set: InputSet, outcome: CallOutcome
    ) -> None:
        """Calls on perturbed inputs where those of a call lay, then on other families' inputs."""
        perturbed = self._generator.perturbed(input_set)
        verdict, _ = self._call(record, perturbed, CallOptions(poison=self._poison), outcome)
        for family in pick_families(self._operator.families, self._checks.families, self._rng):
            if verdict.passed:
                verdict, _ = self._fresh(record, self._generator.generate(record.case, family))

    def _check_again(self, record: CaseRecord) -> None:
        """Repeats every recorded input set of the case in order, those of timed calls included."""
        base, at = None, None
        while record.failure is None:
            family = self._generator.book.recorded(record.case)
            if family is None:
                return
            if self._time_budget.left_s <= 0:
                self.not_run["replay"] = "the budget of time ended before the last recorded inputs"
                return
            if base is not None and family in DERIVED:
                input_set = self._generator.derived(base, family)
                self._call(record, input_set, CallOptions(poison=self._poison), at)
            else:
                base = self._generator.generate(record.case, family)
                _, outcome = self._fresh(record, base)
                at = outcome if isinstance(outcome, CallOutcome) else None
                if at is not None:
                    self.launches.setdefault(record.case.uuid, at.called.interpreted)

    def _fresh(
        self, record: CaseRecord, input_set: InputSet
    ) -> tuple[CallVerdict, CallOutcome | ProcessLost]:
        """Calls on inputs at new addresses; draws of a right call are judged with all others."""
        verdict, outcome = self._call(record, input_set, CallOptions(poison=self._poison))
        if verdict.passed and isinstance(outcome, CallOutcome):
            self._draws.note(input_set.inputs, outcome.outputs)
        return verdict, outcome

    def _call(
        self,
        record: CaseRecord,
        input_set: InputSet,
        options: CallOptions,
        at: CallOutcome | None = None,
        judged_call: JudgedCall | None = None,
    ) -> tuple[CallVerdict, CallOutcome | ProcessLost]:
        """Calls once, at another call's addresses where one is given, and notes the verdict."""
        judged_call = judged_call or self._judged_call
        self._cancellation.check()
        self._poison ^= 1
        options = replace(options, timeout_s=self._time_budget.call_timeout_s)
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

    def has_time_for(self, record: CaseRecord, times: float) -> bool:
        """Whether a call of so many times the length of the record's fits into the budget."""
        slow = self._time_budget.reference_left_s <= 0
        return not slow and times * record.seconds_per_call < self._time_budget.left_s

    def call_again(
        self, record: CaseRecord, options: CallOptions, judged_call: JudgedCall | None, words: str
    ) -> CallLaunches | None:
        """Calls on the workload's first inputs once more; returns what was interpreted, if right.

        Args:
            judged_call: another process; None: the one that was judged.
            words: put before the message of a failure.
        """
        self._reporter.step(Stage.INTEGRITY, "interpreting what is launched on targets")
        input_set = self._generator.repeated(record.case)
        verdict, outcome = self._call(record, input_set, options, judged_call=judged_call)
        if verdict.passed and isinstance(outcome, CallOutcome):
            return outcome.called.interpreted
        if record.failure is not None:
            message = f"{words}{record.failure.message}"
            record.failure = record.failure.model_copy(update={"message": message})
        return None

    def _held_out(self, drawn: HeldOutCases, held_out_process: HeldOutProcess) -> None:
        fault = held_out_process.ready(self._judged_call.session)
        self._cancellation.check()
        if fault is not None:
            self.records[drawn.cases[0].uuid] = not_ready(fault, drawn.cases[0])
            return

        def call(record: CaseRecord, input_set: InputSet) -> CallVerdict:
            options = CallOptions(poison=self._poison, worn=True)
            process = held_out_process.judged_call
            return self._call(record, input_set, options, judged_call=process)[0]

        budget, estimate = self._time_budget, self._estimate
        checks = HeldOutChecks(drawn, call, self._parts, budget, estimate, self._began)
        if (failed := checks.run()) is not None:
            self.records[failed.case.uuid] = failed
        elif checks.not_run is not None:
            self.not_run[HELD_OUT] = checks.not_run
        self.held_out = checks.result
        self.held_out_to_time = checks.to_time
        self.held_out_call = held_out_process.judged_call
        self.held_out_call.collect(rest=True)
        self.done.append(HELD_OUT)

    def _many_calls(self, cases: Sequence[Case]) -> None:
        """Checks random families of random workloads until calls and draws are enough."""
        passed = self._with_outputs(cases)
        calls = sum(record.calls for record in self.records.values())
        due = self._checks.correctness_budget
        while passed and self.failed is None and (calls < due or self._draws.missing):
            record = self._rng.choice(passed)
            if not self.has_time_for(record, 2.0):
                self.not_run["many_calls"] = f"the budget of time ended after {calls} calls"
                break
            self._reporter.step(Stage.CORRECTNESS, f"checked {calls} calls")
            family = self._rng.choice(self._operator.families)
            self._fresh(record, self._generator.generate(record.case, family))
            calls += 1
        self.done.append("many_calls")
        if self._draws and passed and self.failed is None:
            self._judge_draws(passed[0])

    def _judge_draws(self, record: CaseRecord) -> None:
        """Judges all draws together; what is wrong is noted with one of their workloads."""
        self.done.append(DISTRIBUTION)
        if (wrong := self._draws.wrong()) is not None:
            record.status, record.failure = mismatch_failure(wrong[1], record.case, wrong[0])
        elif missing := self._draws.missing:
            self.not_run[DISTRIBUTION] = missing

    def _determinism(self, cases: Sequence[Case]) -> None:
        """Repeats calls on the same inputs at other addresses, poisons and streams, with noise."""
        passed = self._with_outputs(cases)
        ends = passed[:1] if self._time_budget.interpreted else [*passed[:1], *passed[-1:]]
        chosen = {record.case.uuid: record for record in ends}
        grades: list[str] = []
        for record in chosen.values():
            if not self.has_time_for(record, self._checks.determinism_runs):
                self.not_run["determinism"] = "the budget of time was used up"
                continue
            self._reporter.step(Stage.INTEGRITY, "repeating a call under other conditions")
            grades.append(self._repeated(record))
        if grades:
            self.determinism = max(grades, key=GRADES.index)
            self.done.append("determinism")

    def _repeated(self, record: CaseRecord) -> str:
        input_set = self._generator.generate(record.case)
        kept: list[CallOutcome] = []
        for run in range(self._checks.determinism_runs):
            stream = "side" if run % 4 == 1 else "default"
            options = CallOptions(stream=stream, noise=run % 4 == 2, worn=run % 2 == 1)
            verdict, outcome = self._call(record, input_set, options)
            if isinstance(outcome, ProcessLost) or not verdict.passed:
                if kept and verdict.status is Status.INCORRECT_NUMERICAL:
                    call_it_flaky(record, run + 1)
                    return "flaky"
                return "within_tolerance"
            kept.append(outcome)
        alike = all(integrity.same_outputs(kept[0], other) for other in kept[1:])
        same = self._draws.repeated(input_set.inputs, kept[0].outputs) if alike else None
        if same is not None:
            record.status, record.failure = mismatch_failure(same[1], record.case, same[0])
        return "bitwise" if alike else "within_tolerance"

    def _with_kernels_disabled(self, cases: Sequence[Case]) -> None:
        record = next(iter(self._with_outputs(cases)), None)
        if record is None:
            return
        input_set = self._generator.generate(record.case)
        self._cancellation.check()
        options = CallOptions(
            disable_kernels=True, timeout_s=self._time_budget.call_timeout_s, poison=self._poison
        )
        outcome = self._judged_call.call(input_set, options)
        if isinstance(outcome, ProcessLost):
            self.not_run["ghost_replay"] = "the candidate's process ended with its kernels disabled"
            self.lost_process = True
            return
        if (fault := outcome.called.fault) is not None and fault.kind == "kernels_not_disabled":
            self.not_run["ghost_replay"] = fault.message
            self.launched_nothing = True
            return
        right = fault is None and judge_call(self._operator, input_set, outcome).passed
        findings = integrity.own_kernels_do_the_work(right)
        self.findings += findings
        if findings:
            record.status, record.failure = integrity.violation(findings[0], record.case)
        self.done.append("ghost_replay")

    def _with_outputs(self, cases: Sequence[Case]) -> list[CaseRecord]:
        """Cases that passed and whose outputs are not empty."""
        definition = self._operator.definition
        records = [self.records[c.uuid] for c in cases if c.uuid in self.records]
        return [r for r in records if r.passed and has_outputs(definition, r.case)]

    def _skip(self, record: CaseRecord, reason: str) -> None:
        record.status, record.reason = Status.NOT_RUN, reason
