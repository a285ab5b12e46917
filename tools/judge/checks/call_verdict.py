"""Verdict on one call from its outputs and memory.

A fault or the loss of the process comes first, then integrity, then values: a stray write explains
wrong values, not the reverse. Pure but for the operator's own comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...messages.candidate import CandidateFault
from ...schema.evaluation import Failure, Finding, OutputError, Severity, Stage, Status
from ...text import shorten
from ...workloads.policy import ProcessChanges
from ..calls.judged_call import CallOutcome
from ..numerics.correctness import check_output
from ..numerics.fast_path import ExpectedOutput, PreparedCall, accepted_calls, prepare_outputs
from ..numerics.mismatch import Mismatch
from ..numerics.packed import unpacked
from ..operators.generic_operator import torch_dtype
from ..operators.input_sets import DERIVED, InputSet
from ..operators.operator_adapter import Case, OperatorAdapter
from ..processes.lost import ProcessLost
from . import integrity
from .failures import (
    CLAIM_OF_FAULT,
    PROCESS_CLAIM,
    call_failure,
    lost_failure,
    mismatch_failure,
)
from .not_judged import local_fault

SIGNS_CHARACTERS = 400
WRONG_BY_A_FIGURE = ("wrong_values", "error_too_large")
"""Kinds of mismatch of which some are worse than others."""
AcceptedOutputs = Mapping[str, OutputError | None]
"""By output, its errors where it is clearly right."""


@dataclass(frozen=True)
class CallVerdict:
    """The verdict on one call.

    Args:
        errors: of every output that could be compared.
        findings: of the integrity checks.
    """

    status: Status
    failure: Failure | None = None
    errors: list[OutputError] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether outputs and memory were right."""
        return self.status is Status.PASSED


def judge_call(
    operator: OperatorAdapter,
    input_set: InputSet,
    outcome: CallOutcome | ProcessLost,
    log: str = "",
    *,
    outputs_are_right: bool = False,
    accepted: AcceptedOutputs | None = None,
) -> CallVerdict:
    """The verdict on one call.

    Args:
        log: the candidate's output so far, for a crash's excerpt.
        outputs_are_right: whether they were compared with ones that passed; memory is judged.
        accepted: by `accepted_together`, where that was asked of this call.
    """
    case = input_set.case
    if isinstance(outcome, ProcessLost):
        return judge_lost(outcome, case, log)
    fault = outcome.called.fault
    if fault is not None:
        interpreted = all(value.device.type == "cpu" for value in input_set.expected.values())
        return _faulted(operator, local_fault(fault, interpreted=interpreted), case)
    findings = integrity.after_call(outcome, operator.mutable_inputs)
    violation = integrity.worst(findings)
    if violation is not None:
        return CallVerdict(*integrity.violation(violation, case), [], findings)
    verdict = CallVerdict(Status.PASSED, None, [], findings)
    if not outputs_are_right:
        verdict = _values(operator, input_set, outcome, findings, accepted)
    return _with_signs(operator, case, outcome, verdict)


def _with_signs(
    operator: OperatorAdapter, case: Case, outcome: CallOutcome, verdict: CallVerdict
) -> CallVerdict:
    """The verdict with what the candidate left in its process; wrong values stay the verdict."""
    if not outcome.called.signs:
        return verdict
    refused = operator.policy.process is ProcessChanges.REFUSED
    finding = Finding(
        claim=PROCESS_CLAIM,
        severity=Severity.VIOLATION if refused else Severity.WARNING,
        message=shorten(f"After a call {'; '.join(outcome.called.signs)}.", SIGNS_CHARACTERS),
    )
    findings = [*verdict.findings, finding]
    if refused and verdict.passed:
        return CallVerdict(*integrity.violation(finding, case), verdict.errors, findings)
    return replace(verdict, findings=findings)


def judge_lost(lost: ProcessLost, case: Case, log: str) -> CallVerdict:
    """The verdict on a case whose process was lost."""
    status, failure = lost_failure(lost, Stage.CORRECTNESS, case, log)
    findings: list[Finding] = []
    if lost.kind == "protocol":
        findings = [_finding(integrity.TURN, lost.detail)]
    return CallVerdict(status, failure, [], findings)


def _faulted(operator: OperatorAdapter, fault: CandidateFault, case: Case) -> CallVerdict:
    names = list(operator.definition.outputs)
    position = fault.output_position
    output = names[position] if position is not None and 0 <= position < len(names) else None
    status, failure = call_failure(fault, case, output)
    claim = CLAIM_OF_FAULT.get(fault.kind)
    findings = [_finding(claim, failure.message)] if claim else []
    return CallVerdict(status, failure, [], findings)


def _finding(claim: str, message: str) -> Finding:
    return Finding(claim=claim, severity=Severity.VIOLATION, message=message)


def _values(
    operator: OperatorAdapter,
    input_set: InputSet,
    outcome: CallOutcome,
    findings: list[Finding],
    accepted: AcceptedOutputs | None,
) -> CallVerdict:
    """The verdict on the outputs' values; the most wrong output is the failure."""
    if accepted is None:
        (accepted,) = accepted_together(operator, [(input_set, outcome)])
    outcome = replace(outcome, outputs={n: unpacked(v) for n, v in outcome.outputs.items()})
    compared = list(_compared(operator, input_set, outcome, accepted))
    errors = [error for error, _ in compared]
    wrong = [(error, mismatch) for error, mismatch in compared if mismatch is not None]
    if not wrong:
        return CallVerdict(Status.PASSED, None, errors, findings)
    worst, *others = sorted(wrong, key=_badness)
    note = "".join(f" {mismatch.message}" for _, mismatch in others)
    if input_set.family != operator.families[0]:
        note += f" Inputs: {describe_family(input_set.family)}."
    status, failure = mismatch_failure(worst[1], input_set.case, worst[0].output, note)
    return CallVerdict(status, failure, errors, findings)


def _compared(
    operator: OperatorAdapter, input_set: InputSet, outcome: CallOutcome, accepted: AcceptedOutputs
) -> Iterator[tuple[OutputError, Mismatch | None]]:
    """Error and mismatch of each output, by the first way of comparing that applies to it."""
    together = _compared_together(operator, input_set, outcome)
    for name in operator.definition.outputs:
        got = outcome.outputs[name]
        if (error := accepted.get(name)) is not None:
            yield error, None
        elif operator.policy.may_be_zero(name, input_set.case.scalars) and not got.any():
            yield OutputError(output=name, matched_ratio=1.0, compatible=True, strict=True), None
        elif together is not None:
            yield _answered(name, together, got)
            together = {**together, "ok": True}  # its words are those of one output
        elif operator.compares(name):
            yield _own_comparison(operator, input_set, name, got)
        else:
            yield _checked(operator, input_set, name, outcome)


def _checked(
    operator: OperatorAdapter, input_set: InputSet, name: str, outcome: CallOutcome
) -> tuple[OutputError, Mismatch | None]:
    """Error and mismatch of an output beside the oracle and what is trusted, within limits."""
    case = input_set.case
    return check_output(
        name,
        outcome.outputs[name],
        input_set.expected[name],
        input_set.trusted[name],
        operator.limits(name, case.uuid),
        poison=outcome.poisons[name],
        axis_names=operator.definition.outputs[name].shape or (),
        published=input_set.family in (operator.families[0], *DERIVED),
        constants=_constants(operator, case),
    )


def _badness(wrong: tuple[OutputError, Mismatch]) -> tuple[bool, bool, float]:
    """A sort key: the most wrong output first."""
    error, mismatch = wrong
    largest = error.max_scaled if isinstance(error.max_scaled, int | float) else math.inf
    return error.compatible, mismatch.kind in WRONG_BY_A_FIGURE, -largest


def prepare_verdict(operator: OperatorAdapter, input_set: InputSet) -> None:
    """Computes what a verdict on any call on these inputs needs of what is expected."""
    outputs = {n: o for n, o in operator.definition.outputs.items() if not operator.compares(n)}
    empty = {n: torch.empty(0, dtype=torch_dtype(str(o.dtype))) for n, o in outputs.items()}
    _prepare(operator, input_set, {name: unpacked(one).dtype for name, one in empty.items()})


def _prepare(
    operator: OperatorAdapter, input_set: InputSet, dtypes: Mapping[str, torch.dtype]
) -> None:
    """Computes for the outputs that are so judged what the fast path needs, once."""
    if not dtypes.keys() <= input_set.prepared.keys():
        input_set.prepared.update(
            prepare_outputs(
                {
                    name: ExpectedOutput(
                        input_set.expected[name],
                        input_set.trusted[name],
                        operator.limits(name, input_set.case.uuid),
                        dtype,
                    )
                    for name, dtype in dtypes.items()
                }
            )
        )


def _constants(operator: OperatorAdapter, case: Case) -> dict[str, float]:
    """Sizes of axes and values of scalars, one of which may explain a wrong factor."""
    scalars = {n: v for n, v in case.scalars.items() if isinstance(v, int | float)}
    return {**operator.definition.axis_values(case.axes), **scalars}


def accepted_together(
    operator: OperatorAdapter, calls: Sequence[tuple[InputSet, CallOutcome]]
) -> list[AcceptedOutputs]:
    """For each call the fast path's result for the outputs that the operator does not compare."""
    found: list[PreparedCall] = []
    for input_set, outcome in calls:
        outputs = outcome.outputs.items()
        got = {name: unpacked(value) for name, value in outputs if not operator.compares(name)}
        _prepare(operator, input_set, {name: value.dtype for name, value in got.items()})
        prepared = {name: one for name in got if (one := input_set.prepared[name]) is not None}
        found.append(({name: got[name] for name in prepared}, prepared))
    return list(accepted_calls(found))


def describe_family(family: str) -> str:
    """A description of an input family for failure messages."""
    if family in DERIVED:
        return (
            "the same addresses as the call before with a few values changed; a result kept from "
            "an earlier call would look like this"
        )
    return f"family {family!r}"


def _own_comparison(
    operator: OperatorAdapter, input_set: InputSet, name: str, got: torch.Tensor
) -> tuple[OutputError, Mismatch | None]:
    answer = operator.compare(name, input_set.inputs, input_set.expected[name], got)
    return _answered(name, answer, got)


def _compared_together(
    operator: OperatorAdapter, input_set: InputSet, outcome: CallOutcome
) -> dict[str, Any] | None:
    """The operator's own answer on all outputs of a call; None where it has none."""
    if not operator.compares_together:
        return None
    return operator.compare_together(input_set.inputs, input_set.expected, dict(outcome.outputs))


def _answered(
    name: str, answer: Mapping[str, Any], got: torch.Tensor
) -> tuple[OutputError, Mismatch | None]:
    """Error and mismatch of an output as an operator's own comparison tells them."""
    ratio = answer.get("matched_ratio")
    right = bool(answer["ok"])
    error = OutputError(output=name, matched_ratio=ratio, compatible=right, strict=right)
    if right:
        return error, None
    mismatch = Mismatch(
        kind=answer.get("kind") or "wrong_values",
        message=answer.get("message") or f"Output {name!r} does not agree.",
        remedy=answer.get("remedy")
        or "Compare the row shown with the reference by hand; ties may be broken either way.",
        index=answer.get("index"),
        expected=answer.get("expected"),
        got=answer.get("got"),
        mismatched=answer.get("mismatched"),
        total=got.numel(),
    )
    return error, mismatch


def merged(errors: Sequence[OutputError], more: Sequence[OutputError]) -> list[OutputError]:
    """The larger errors of two sets, output by output."""
    known = {error.output: error for error in errors}
    for error in more:
        before = known.get(error.output)
        known[error.output] = error if before is None else _worse(before, error)
    return list(known.values())


def _worse(one: OutputError, other: OutputError) -> OutputError:
    updates: dict[str, object] = {
        "compatible": one.compatible and other.compatible,
        "strict": one.strict and other.strict,
    }
    for name in OutputError.model_fields:
        if name in ("output", "compatible", "strict"):
            continue
        values = [v for v in (getattr(one, name), getattr(other, name)) if v is not None]
        updates[name] = None
        if values:
            updates[name] = min(values) if name == "matched_ratio" else max(values)
    return one.model_copy(update=updates)


@dataclass
class CaseRecord:
    """Results of one case so far."""

    case: Case
    status: Status | None = None
    failure: Failure | None = None
    reason: str | None = None
    calls: int = 0
    errors: list[OutputError] = field(default_factory=list)
    seconds_per_call: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every call so far was right."""
        return self.status is Status.PASSED

    def add(self, verdict: CallVerdict) -> None:
        """Takes one more call in; a failure stays."""
        self.calls += 1
        self.errors = merged(self.errors, verdict.errors)
        if self.failure is None:
            self.status, self.failure = verdict.status, verdict.failure


def not_ready(fault: ProcessLost | CandidateFault, case: Case) -> CaseRecord:
    """A held-out case whose process could not be built, though the first one was."""
    if isinstance(fault, ProcessLost):
        status, failure = lost_failure(fault, Stage.CORRECTNESS, case, "")
    else:
        status, failure = call_failure(fault, case, None)
    return CaseRecord(case, status, failure)


def call_it_flaky(record: CaseRecord, runs: int) -> None:
    """Says of a case that failed in a repeated call that it was right before."""
    failure = record.failure
    if failure is None or failure.held_out:
        return
    record.failure = failure.model_copy(
        update={
            "kind": "flaky",
            "message": f"The same inputs gave a right and then a wrong result (run {runs}). "
            + failure.message,
            "remedy": "Look for a race: a missing barrier, an atomic that is not reset, reads of "
            "memory that another block still writes, or scratch memory taken as zero.",
        }
    )
