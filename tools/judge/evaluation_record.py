"""Makes the record of a trial: everything the judge observed, as one `Evaluation`.

Pure but for the operator's cost model. Ratios and totals are computed from the raw samples by the
readers of a record (`tools/evaluation/comparison.py`), so they can be computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..messages.judge import EvaluatePlan
from ..schema.evaluation import (
    Evaluation,
    Evidence,
    Failure,
    Finding,
    Integrity,
    Scope,
    Stage,
    StaticCheck,
    Status,
    WorkloadResult,
)
from ..schema.flashinfer_trace import Solution
from ..text import shorten
from .calls.judged_call import has_outputs
from .checks import integrity
from .checks.call_verdict import CaseRecord
from .checks.workload_checks import Checking
from .deployment.checks import DeploymentChecks
from .operators.held_out_cases import HELD_OUT
from .operators.input_sets import SeedBook
from .operators.operator_adapter import Case, OperatorAdapter
from .operators.sampled_draws import DISTRIBUTION
from .processes import device as device_facts
from .processes.candidate_process import CandidateSession
from .processes.context import JudgeContext
from .timing.case_floors import CaseFloors
from .timing.paired_timing import PairedTiming, Timed

LOG_CHARACTERS = 8_000
CORRECTNESS_ALONE = "the operator's policy has it checked for correctness alone"

Verdict = tuple[Status, Failure]


@dataclass(frozen=True)
class TrialResult:
    """Everything known of a trial at its end; None for stages that it did not reach.

    Args:
        unusable: by uuid, why a workload's data cannot be used; such a workload is not run.
        constant_outputs: names of outputs that do not depend on the inputs.
        failed: status and failure that ended it; None when it passed.
        session: the first candidate process, for what its sandbox granted.
        started_at: UTC, ISO 8601.
        seconds: wall time by stage.
        log: the candidate's output, untrusted.
    """

    plan: EvaluatePlan
    context: JudgeContext
    operator: OperatorAdapter
    solution: Solution
    cases: Sequence[Case]
    unusable: Mapping[str, str]
    constant_outputs: Sequence[str]
    failed: Verdict | None
    checking: Checking | None
    deployment: DeploymentChecks | None
    timing: PairedTiming | None
    timed: Mapping[str, Timed]
    static: StaticCheck | None
    book: SeedBook
    session: CandidateSession | None
    started_at: str
    seconds: dict[str, float]
    log: str
    not_timed: str | None


def write_record(trial: TrialResult) -> Evaluation:
    """The immutable record of a trial."""
    plan, solution = trial.plan, trial.solution
    baseline = Solution.model_validate(plan.baseline).name if plan.baseline else None
    floors = CaseFloors(plan, trial.operator, trial.context)
    results = [_result(trial, i, case, floors) for i, case in enumerate(trial.cases)]
    unfailed = Status.PASSED if plan.checks.execute else Status.COMPILED
    status, failure = trial.failed or (unfailed, None)
    left = trial.checking.not_run if trial.checking else {}
    unchecked = "; ".join(left[check] for check in (HELD_OUT, DISTRIBUTION) if check in left)
    missing = ""
    if status is Status.PASSED:
        full = {c.uuid for c in trial.cases if has_outputs(trial.operator.definition, c)}
        full.difference_update(trial.operator.policy.untimed)
        due = [r for r in results if r.uuid in full] if trial.timing is not None else []
        missing = not_run_words(results, plan.left_out, unchecked, due)
    return Evaluation(
        evaluation_id=plan.evaluation_id,
        definition=trial.operator.definition.name,
        solution_name=solution.name,
        language=solution.spec.language.value,
        content_hash=plan.content_hash,
        workload_digest=plan.workload_digest,
        scope=Scope(plan.scope),
        status=Status.PARTIAL if missing else status,
        stage=failure.stage if failure else Stage.DONE,
        failure=failure,
        workloads=results,
        baseline=baseline,
        baseline_hash=plan.baseline_hash,
        evidence=_evidence(trial),
        integrity=_integrity(trial),
        static=trial.static,
        log=shorten(trial.log, LOG_CHARACTERS),
        not_timed_reason=trial.not_timed,
        held_out=trial.checking.held_out if trial.checking else None,
        partial_reason=missing or None,
    )


def not_run_words(
    results: Sequence[WorkloadResult],
    left_out: Sequence[str],
    unchecked: str,
    due: Sequence[WorkloadResult],
) -> str:
    """What the scope asks for and was not run, in words; empty when all of it was.

    Args:
        left_out: uuids of the scope's workloads that were not asked for.
        unchecked: why held-out workloads or draws were not judged; empty when they were.
        due: those that the timing was to give times for; one without output elements has none.
    """
    parts = []
    if left_out:
        few = "1 workload of the scope was" if len(left_out) == 1 else ""
        parts.append(f"{few or f'{len(left_out)} workloads of the scope were'} not asked for")
    if left := [r for r in results if r.status is Status.NOT_RUN]:
        parts.append(f"{len(left)} of {len(results)} workloads were not run: {left[0].reason}")
    if unchecked:
        parts.append(unchecked)
    untimed = [r for r in due if r.status is Status.PASSED and r.measurement is None]
    if untimed:
        parts.append(f"{len(untimed)} of {len(due)} were not timed: {untimed[0].reason}")
    return "; ".join(parts)


def _result(trial: TrialResult, position: int, case: Case, floors: CaseFloors) -> WorkloadResult:
    planned = trial.plan.workloads[position]
    record = trial.checking.records.get(case.uuid) if trial.checking else None
    record = record or CaseRecord(case, Status.NOT_RUN, reason=_not_run_reason(trial, case))
    timed = trial.timed.get(case.uuid)
    status, failure = record.status or Status.NOT_RUN, record.failure
    if timed is not None and timed.failure is not None:
        status, failure = timed.status or status, timed.failure
    passed = status is Status.PASSED
    reason = record.reason
    if passed and (timed is None or timed.measurement is None):
        reason = (timed.reason if timed else None) or trial.not_timed
        if timed is None and case.uuid in trial.operator.policy.untimed:
            reason = CORRECTNESS_ALONE
    return WorkloadResult(
        uuid=case.uuid,
        axes=case.axes,
        status=status,
        reason=reason,
        regime=planned.regime,
        weight=planned.weight,
        calls_checked=record.calls + (timed.calls if timed else 0),
        errors=record.errors,
        failure=failure,
        floors_us=floors.of(case),
        measurement=timed.measurement if timed and passed else None,
        baseline_measurement=timed.baseline if timed and passed else None,
    )


def _not_run_reason(trial: TrialResult, case: Case) -> str:
    if (fault := trial.unusable.get(case.uuid)) is not None:
        return f"the dataset is at fault: {fault}"
    if trial.failed is not None:
        return f"the trial ended before it ({trial.failed[1].kind})"
    return trial.not_timed or "it was not asked for"


def _evidence(trial: TrialResult) -> Evidence:
    session, timing = trial.session, trial.timing
    isolation = (
        device_facts.isolation(list(session.granted), list(session.missing)) if session else None
    )
    return Evidence(
        device=trial.context.info,
        timer=timing.timer if timing else None,
        timer_note=timing.timer_note if timing else None,
        seeds=trial.book.seeds,
        families=trial.book.families,
        input_source=trial.book.source,
        checks=trial.plan.checks.model_dump(mode="json"),
        clocks=timing.clocks if timing else [],
        versions=device_facts.versions_of(_dependencies(trial.plan)) | trial.context.versions,
        isolation=isolation,
        started_at=trial.started_at,
        seconds=trial.seconds,
        budgets=_budgets(trial.plan),
        command=trial.plan.command,
        fresh_values=timing.fresh_values if timing else "",
    )


def _dependencies(plan: EvaluatePlan) -> list[str]:
    """What candidate and baseline say that they need."""
    solutions = [plan.solution, *([plan.baseline] if plan.baseline else [])]
    return [name for one in solutions for name in one["spec"].get("dependencies", [])]


def _budgets(plan: EvaluatePlan) -> dict[str, float]:
    named = {"build": plan.build_timeout_s, "call": plan.call_timeout_s}
    return {**named, "candidate": plan.budget_s, "reference": plan.budget_s}


def _integrity(trial: TrialResult) -> Integrity:
    checking, timing = trial.checking, trial.timing
    findings: list[Finding] = []
    done: list[str] = []
    not_run: dict[str, str] = {}
    if checking is not None:
        findings, done = list(checking.findings), list(checking.done)
        not_run = dict(checking.not_run)
        findings += integrity.launched_something(
            trial.solution.spec.language.value,
            interpreted=trial.context.interpreted,
            launched_nothing=checking.repeated.launched_nothing,
        )
    if (deployment := trial.deployment) is not None:
        findings += deployment.findings
        done += deployment.done
        not_run |= deployment.not_run
    if timing is not None:
        findings += timing.findings
        done += timing.done
    elif trial.not_timed:
        not_run["timed_calls_verified"] = trial.not_timed
    if trial.failed is not None and all(f.claim != integrity.TURN for f in findings):
        status, failure = trial.failed
        violated = status is Status.INTEGRITY_VIOLATION
        findings += integrity.spoke_when_asked(failure if violated else None)
    findings += integrity.outputs_depend_on_inputs(trial.constant_outputs)
    findings += integrity.set_is_whole(trial.plan.unusable)
    if trial.plan.checks.sanitizer:
        not_run["sanitizer"] = "runs in a process of its own, for promote_candidate"
    return Integrity(
        checks=done,
        not_run=not_run,
        findings=findings,
        determinism=checking.repeated.determinism if checking else None,
    )
