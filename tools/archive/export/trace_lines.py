"""The Traces of one operator on one device: which lines count, and what they are compared to.

Pure. A line of a dataset says less than a record and is believed more, so what would mislead its
reader is left out, with the reason: claimed times beside sealed ones, and passes of a solution that
another trial found wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...schema.evaluation import UNDECIDED, Evaluation, OutputError, Status
from ...schema.flashinfer_trace import (
    Correctness,
    Definition,
    EvaluationStatus,
    Performance,
    Trace,
    Workload,
)
from ...schema.measurement import TimeSource
from ...schema.trace_export import to_traces
from .reference_times import ReferenceTime, ReferenceTimes

UNTIMED_PASS = "passes that were not timed"
CLAIMED_PASS = "passes with claimed times, where a sealed one is known"
WRONG_ELSEWHERE = "passes of solutions that another trial found wrong"
NOT_MEASURED = "not measured"
IN_NORM = "not measured; given in norm, of the worst row"
_NOT_WRONG = {Status.PASSED, Status.COMPILE_ERROR, *UNDECIDED}
"""Statuses of a trial that say nothing against its solution where it was built."""


@dataclass(frozen=True)
class _Line:
    """One Trace before its reference is known."""

    trace: Trace
    content_hash: str
    sealed: bool
    errors: tuple[OutputError, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it is a pass, and so has a latency."""
        judged = self.trace.evaluation
        return judged is not None and judged.status is EvaluationStatus.PASSED

    @property
    def latency_ms(self) -> float:
        """Its latency; only a pass has one."""
        judged = self.trace.evaluation
        return judged.performance.latency_ms if judged and judged.performance else 0.0


@dataclass
class TraceLines:
    """Gathers the lines of an operator's candidates on one device."""

    definition: Definition
    workloads: Sequence[Workload]
    references: ReferenceTimes
    left_out: Counter[str] = field(default_factory=Counter[str])
    _lines: list[_Line] = field(default_factory=list["_Line"])
    _wrong: set[str] = field(default_factory=set[str])

    def add(self, evaluation: Evaluation, solution_name: str, candidate_id: str) -> bool:
        """Adds a record's lines under the solution's name in the dataset; False without one.

        Times on other inputs than those that rank give none.
        """
        if not evaluation.input_family:
            self.references.gather(evaluation)
        results = {result.uuid: result for result in evaluation.workloads}
        if evaluation.status not in _NOT_WRONG:
            self._wrong.add(evaluation.content_hash)
        if evaluation.input_family:
            return False
        traces = to_traces(evaluation, self.definition, self.workloads)
        for trace in traces:
            result = results.get(trace.workload.uuid)
            sealing = result.sealing if result else None
            clock = str(sealing.source) if sealing else ""
            named = trace.model_copy(
                update={
                    "solution": solution_name,
                    "evaluation": _with_extra(trace, candidate=candidate_id, clock=clock),
                }
            )
            sealed = clock == TimeSource.SEALED
            errors = tuple(result.errors) if result else ()
            self._lines.append(_Line(named, evaluation.content_hash, sealed, errors))
        with_line = {trace.workload.uuid for trace in traces}
        self.left_out[UNTIMED_PASS] += sum(
            result.status is Status.PASSED and result.latency_us is None and uuid not in with_line
            for uuid, result in results.items()
        )
        return bool(traces)

    def traces(self, *, claimed: bool = False, norm_errors: bool = False) -> list[Trace]:
        """The lines that count, with the reference's latency and the speed-up over it.

        Args:
            claimed: keep claimed times beside sealed ones.
            norm_errors: give relative errors in norm where those of elements were not measured.
        """
        sealed = {line.trace.workload.uuid for line in self._lines if line.sealed and line.passed}
        kept: list[_Line] = []
        for line in self._lines:
            if line.passed and line.content_hash in self._wrong:
                self.left_out[WRONG_ELSEWHERE] += 1
            elif not claimed and line.passed and not line.sealed and _uuid(line) in sealed:
                self.left_out[CLAIMED_PASS] += 1
            else:
                kept.append(line)
        times: dict[str, list[tuple[float, str]]] = {}
        for line in kept:
            if line.passed:
                known = times.setdefault(_uuid(line), [])
                known.append((line.latency_ms * 1000, line.trace.solution or ""))
        over = {uuid: self.references.of(uuid, known) for uuid, known in times.items()}
        return [_compared(line, over, norm_errors) if line.passed else line.trace for line in kept]


def _uuid(line: _Line) -> str:
    return line.trace.workload.uuid


def _with_extra(trace: Trace, **facts: Any) -> Any:
    """The trace's evaluation with more facts in the one place that the format has for them."""
    judged = trace.evaluation
    if judged is None or judged.correctness is None:
        return judged
    extra = (judged.correctness.extra or {}) | {k: v for k, v in facts.items() if v}
    return judged.model_copy(
        update={"correctness": judged.correctness.model_copy(update={"extra": extra})}
    )


def _compared(line: _Line, over: Mapping[str, ReferenceTime | None], norm_errors: bool) -> Trace:
    """A pass with the reference's latency, the speed-up, and a bound for every error."""
    trace, reference = line.trace, over.get(_uuid(line))
    if reference is None or trace.evaluation is None:
        return trace
    judged = _with_extra(trace, reference=str(reference.kind), reference_name=reference.name)
    performance = Performance(
        latency_ms=line.latency_ms,
        reference_latency_ms=reference.latency_us / 1000,
        speedup_factor=reference.latency_us / 1000 / line.latency_ms,
    )
    correctness = _bounded(judged.correctness, line.errors, norm_errors)
    update = {"performance": performance, "correctness": correctness}
    return trace.model_copy(update={"evaluation": judged.model_copy(update=update)})


def _bounded(
    correctness: Correctness, errors: Sequence[OutputError], norm_errors: bool
) -> Correctness:
    """Errors of a pass without NaN, for no threshold admits one: what was not measured is told.

    An error that was not measured is unbounded, or taken in norm. Of outputs that are right without
    any error, as sets of indices are, it is 0 in norm.
    """
    absolute, relative = correctness.max_absolute_error, correctness.max_relative_error
    if not (math.isnan(absolute) or math.isnan(relative)):
        return correctness
    extra = dict(correctness.extra or {})
    if math.isnan(absolute):
        extra["max_absolute_error"] = NOT_MEASURED
        absolute = _largest(e.max_absolute for e in errors) if norm_errors else math.inf
    if absolute == 0 and "max_absolute_error" not in extra:
        relative = 0.0
    elif math.isnan(relative):
        extra["max_relative_error"] = IN_NORM if norm_errors else NOT_MEASURED
        norms = (e.worst_row_relative or e.rms_relative for e in errors)
        relative = _largest(norms) if norm_errors else math.inf
    update = {"max_absolute_error": absolute, "max_relative_error": relative, "extra": extra}
    return correctness.model_copy(update=update)


def _largest(errors: Iterable[float | None]) -> float:
    return max((error for error in errors if error is not None), default=0.0)
