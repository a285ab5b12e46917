"""The rules that a FlashInfer-Trace dataset is validated by, a function for each category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from ...schema.flashinfer_trace import (
    Definition,
    EvaluationStatus,
    Solution,
    Trace,
    unknown_keys,
)
from ...workloads.operators import BASELINE_AUTHOR
from ..trace_set import DEFINITIONS, SOLUTIONS, TRACES, WORKLOADS, FileEntry, TraceSet
from .python_sources import entry_fault, reference_fault
from .stored_tensors import TensorFiles

KINDS = {
    "definition": DEFINITIONS,
    "workload": WORKLOADS,
    "solution": SOLUTIONS,
    "trace": TRACES,
}


@dataclass(frozen=True)
class RuleFinding:
    """One thing that is wrong (`error`) or missing."""

    error: bool
    definition: str
    file: str
    message: str
    line: int | None = None


error, warning = partial(RuleFinding, True), partial(RuleFinding, False)


def unreadable_findings(found: TraceSet, category: str) -> Iterator[RuleFinding]:
    """Files and lines of a kind that cannot be read."""
    for problem in found.problems:
        if problem.file.split("/")[0] == KINDS.get(category):
            field = f"{problem.field}: " if problem.field else ""
            folder, known = problem.file.split("/")[-2], found.by_name
            definition = folder if folder in known else problem.definition
            yield error(definition, problem.file, field + problem.message, problem.line)


def layout_findings(found: TraceSet) -> Iterator[RuleFinding]:
    """Files that lie where their fields do not say."""
    kinds = {name: definition.op_type for name, definition in found.by_name.items()}
    authors = {name: solution.author for name, solution in found.solutions_by_name.items()}
    expected: dict[str, tuple[str, str, int | None]] = {}
    for entry in found.definitions:
        value = entry.value
        place = f"{DEFINITIONS}/{value.op_type}/{value.name}.json"
        expected[entry.file] = value.name, place, None
    for entry in found.solutions:
        value = entry.value
        group = kinds.get(value.definition, "<op_type>")
        place = f"{SOLUTIONS}/{value.author}/{group}/{value.definition}/{value.name}.json"
        expected[entry.file] = value.definition, place, None
    for entry in (*found.workloads, *found.traces):
        name = entry.value.definition
        place = f"{kinds.get(name, '<op_type>')}/{name}.jsonl"
        if entry.file.startswith(TRACES):
            author = authors.get(entry.value.solution or "", "<author>")
            place = f"{TRACES}/{author}/{place}"
        else:
            place = f"{WORKLOADS}/{place}"
        if entry.file != place:
            expected.setdefault(entry.file, (name, place, entry.line))
    for file, (definition, place, line) in expected.items():
        if file != place:
            yield error(definition, file, f"by its fields it belongs to {place}", line)


def definition_findings(found: TraceSet) -> Iterator[RuleFinding]:
    """Definitions that cannot be called, or that say too little."""
    twice = Counter(entry.value.name for entry in found.definitions)
    for entry in found.definitions:
        value = entry.value
        say, ask = _at(error, entry, value.name), _at(warning, entry, value.name)
        if twice[value.name] > 1:
            yield say(f"{twice[value.name]} definitions are named so")
        if not value.description:
            yield ask("it has no description")
        if (fault := reference_fault(value)) is not None:
            yield say(fault)
        for key in unknown_keys(value):
            yield ask(f"the format has no field {key}, which is ignored")
        in_shapes = {axis for spec in value.inputs.values() for axis in spec.shape or ()}
        for axis in value.var_axes:
            if axis not in in_shapes:
                yield ask(f"axis {axis} is in no input's shape, so that no call shows its size")


def workload_findings(found: TraceSet) -> Iterator[RuleFinding]:
    """Workloads that are not those of their definition, or whose tensors are not there."""
    files, seen = TensorFiles(found.root), set[tuple[str, str]]()
    for entry in found.workloads:
        trace = entry.value
        definition = found.by_name.get(trace.definition)
        say = _at(error, entry, trace.definition)
        if not trace.is_workload_only:
            yield say("a line of workloads holds no solution and no evaluation")
        if definition is None:
            yield say(f"there is no definition {trace.definition!r}")
            continue
        key = (trace.definition, trace.workload.uuid)
        if key in seen:
            yield say(f"the uuid {trace.workload.uuid!r} is repeated")
        seen.add(key)
        faults = [*_axis_faults(definition, trace), *_input_faults(definition, trace)]
        if not faults:
            faults = list(files.faults(definition, trace.workload))
        yield from (say(f"{trace.workload.uuid}: {fault}") for fault in faults)
        if not faults:
            axes = trace.workload.axes
            for constraint in definition.violated_constraints(axes):
                ask = _at(warning, entry, trace.definition)
                yield ask(f"{trace.workload.uuid} violates the constraint {constraint!r}")
    with_workloads = {name for name, _ in seen}
    for entry in found.definitions:
        if entry.value.name not in with_workloads:
            yield _at(warning, entry, entry.value.name)("it has no workload")


def _axis_faults(definition: Definition, trace: Trace) -> Iterator[str]:
    axes = trace.workload.axes
    for name in definition.var_axes:
        if name not in axes:
            yield f"no size for axis {name}"
    for name, size in axes.items():
        if name not in definition.var_axes:
            word = "a constant" if name in definition.axes else "no axis"
            yield f"axis {name} is {word} of the definition"
        elif size == 0:
            yield f"axis {name} is 0"


def _input_faults(definition: Definition, trace: Trace) -> Iterator[str]:
    inputs = trace.workload.inputs
    for name in definition.inputs:
        if name not in inputs:
            yield f"nothing is said of input {name}"
    for name, spec in inputs.items():
        declared = definition.inputs.get(name)
        if declared is None:
            yield f"the definition has no input {name}"
        elif (declared.shape is None) is not (spec.type == "scalar"):
            kind = "a scalar" if declared.shape is None else "a tensor"
            yield f"input {name} is {kind} and is given as {spec.type}"


def solution_findings(found: TraceSet) -> Iterator[RuleFinding]:
    """Solutions of nothing, of one name, or that cannot be called."""
    twice = Counter(entry.value.name for entry in found.solutions)
    for entry in found.solutions:
        value = entry.value
        say = _at(error, entry, value.definition)
        if twice[value.name] > 1:
            yield say(f"{twice[value.name]} solutions are named {value.name!r}")
        for key in unknown_keys(value):
            yield _at(warning, entry, value.definition)(
                f"the format has no field {key}, which is ignored"
            )
        definition = found.by_name.get(value.definition)
        if definition is None:
            yield say(f"there is no definition {value.definition!r}")
        elif (fault := entry_fault(value, definition)) is not None:
            yield say(fault)


def trace_findings(found: TraceSet) -> Iterator[RuleFinding]:
    """Traces of what is not there, with times that readers refuse, and workloads without one."""
    workloads = {
        (entry.value.definition, entry.value.workload.uuid): entry.value.workload
        for entry in found.workloads
    }
    solutions, covered = found.solutions_by_name, dict[str, set[str]]()
    for entry in found.traces:
        trace = entry.value
        say = _at(error, entry, trace.definition)
        solution = solutions.get(trace.solution or "")
        known = workloads.get((trace.definition, trace.workload.uuid))
        if trace.is_workload_only or trace.evaluation is None:
            yield say("a trace holds a solution and its evaluation")
            continue
        if trace.definition not in found.by_name:
            yield say(f"there is no definition {trace.definition!r}")
        elif solution is None:
            yield say(f"there is no solution {trace.solution!r}")
        elif solution.definition != trace.definition:
            yield say(f"{solution.name!r} is a solution of {solution.definition!r}")
        elif known is None:
            yield _at(warning, entry, trace.definition)(
                f"there is no workload {trace.workload.uuid!r}"
            )
        elif known.axes != trace.workload.axes:
            yield say(f"workload {trace.workload.uuid!r} has other sizes: {dict(known.axes)}")
        else:
            covered.setdefault(solution.name, set()).add(trace.workload.uuid)
        passed = trace.evaluation.performance
        if passed is not None and passed.latency_ms <= 0:
            yield say("a pass has a latency of 0, with which reports end in an error")
    yield from _uncovered(found, covered)


def _uncovered(found: TraceSet, covered: dict[str, set[str]]) -> Iterator[RuleFinding]:
    """Solutions with traces on some of their workloads."""
    for entry in found.solutions:
        uuids = {w.uuid for w in found.workloads_of(entry.value.definition)}
        own = covered.get(entry.value.name, set())
        if own and (left := len(uuids - own)):
            yield _at(warning, entry, entry.value.definition)(
                f"{left} of {len(uuids)} workloads have no trace of {entry.value.name!r}"
            )


def baseline_findings(found: TraceSet) -> Iterator[RuleFinding]:
    """Definitions without one baseline that passes on every workload."""
    for entry in found.definitions:
        name = entry.value.name
        own = [
            s
            for s in found.solutions_by_name.values()
            if s.definition == name and s.author == BASELINE_AUTHOR
        ]
        ask = _at(warning, entry, name)
        if not own:
            yield ask("no solution has the author 'baseline', so that speed-ups are over nothing")
        elif len(own) > 1:
            names = ", ".join(solution.name for solution in own)
            yield _at(error, entry, name)(f"several solutions are baselines: {names}")
        else:
            yield from (ask(words) for words in _baseline_faults(found, own[0]))


def _baseline_faults(found: TraceSet, baseline: Solution) -> Iterator[str]:
    traces = [t for t in found.traces_of(baseline.definition) if t.solution == baseline.name]
    states = [t.evaluation.status for t in traces if t.evaluation]
    if not states:
        yield f"the baseline {baseline.name!r} has no trace"
        return
    if failed := len(states) - states.count(EvaluationStatus.PASSED):
        yield f"the baseline {baseline.name!r} failed in {failed} of {len(states)} traces"
    uuids = {w.uuid for w in found.workloads_of(baseline.definition)}
    if left := len(uuids - {t.workload.uuid for t in traces}):
        yield f"the baseline {baseline.name!r} has no trace on {left} of {len(uuids)} workloads"


def _at(
    kind: partial[RuleFinding],
    entry: FileEntry[Definition] | FileEntry[Solution] | FileEntry[Trace],
    definition: str,
) -> partial[RuleFinding]:
    """A finding at an entry's place, but for its message."""
    return partial(_finding, kind, definition, entry.file, entry.line)


def _finding(
    kind: partial[RuleFinding], definition: str, file: str, line: int | None, message: str
) -> RuleFinding:
    return kind(definition, file, message, line)
