"""What could not be read of a dataset, with its place, and what makes a workload unusable."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Container, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ..errors import HarnessError
from ..schema.constraints import names_in
from ..schema.flashinfer_trace import (
    Definition,
    SafetensorsInput,
    Solution,
    Trace,
    Workload,
)
from ..text import python_tree
from .operators import Operator
from .policy import Policy, sampled_outputs

CALLED = {
    "oracle.py": ("oracle", "trusted", "oracle_and_trusted", "probabilities"),
    "inputs.py": ("generate", "held_out", "rewrite"),
    "compare.py": ("compare", "compare_all"),
    "cost.py": ("cost",),
}
"""Functions of an operator's files that are called, by file; any other is the file's own."""
READ = {"inputs.py": ("FAMILIES", "WHOLE", "REWRITE_PARTLY")}
"""Constants of an operator's files that are read, by file."""
ALIKE = 0.75
"""Of two names, from which one is taken for a misspelling of the other."""


@dataclass(frozen=True)
class DatasetProblem:
    """A file, or a line of one, that could not be used or is doubtful."""

    file: str
    line: int | None
    field: str
    message: str

    @property
    def definition(self) -> str:
        """The name of the definition whose file it is, by the file's or its folder's name."""
        file = Path(self.file)
        return file.parent.name if file.name == "definition.json" else file.stem

    def is_of(self, operator: Operator) -> bool:
        """Whether it is of a file of this operator."""
        folder = operator.folder
        return self.definition == operator.name or (
            folder is not None and Path(self.file).is_relative_to(folder)
        )

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return (
            f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"
        )


def fault_of(
    trace: Trace,
    definition: Definition,
    policy: Policy,
    found: Container[str],
    *,
    own_inputs: bool,
) -> tuple[str, str] | None:
    """What makes a line unusable as a workload of this definition: field and message.

    Args:
        found: uuids of the lines before it.
        own_inputs: whether code makes the inputs, scalars too.
    """
    axes = trace.workload.axes
    missing = [name for name in definition.var_axes if name not in axes]
    undeclared = [name for name in axes if name not in definition.axes]
    unknown_inputs = [name for name in trace.workload.inputs if name not in definition.inputs]
    faults = (
        (trace.definition != definition.name, "definition", f"{trace.definition!r} is another"),
        (not trace.is_workload_only, "solution", "a workload line cannot hold a solution's run"),
        (bool(missing), "workload.axes", f"no size for {', '.join(missing)}"),
        (bool(undeclared), "workload.axes", f"no such axis: {', '.join(undeclared)}"),
        (bool(unknown_inputs), "workload.inputs", f"no such input: {', '.join(unknown_inputs)}"),
        (trace.workload.uuid in found, "workload.uuid", f"{trace.workload.uuid!r} is repeated"),
    )
    fault = next(((place, message) for bad, place, message in faults if bad), None)
    if fault is None and not own_inputs:
        fault = _valueless(trace.workload, definition, policy)
    return fault or _violated(trace, definition, policy)


def _valueless(
    workload: Workload, definition: Definition, policy: Policy
) -> tuple[str, str] | None:
    """The first scalar that nothing gives a value: one drawn at random makes another operator."""
    seeds = {
        name for sampled in sampled_outputs(definition, policy).values() for name in sampled.seeds
    }
    known = {*workload.scalars(definition), *seeds}
    for name, spec in definition.inputs.items():
        stored = isinstance(workload.inputs.get(name), SafetensorsInput)
        if spec.shape is None and name not in known and not stored:
            return f"workload.inputs.{name}", (
                f"{workload.uuid} gives the scalar {name!r} no value; state "
                '{"type": "scalar", "value": …}, or give the input a "default" in the definition'
            )
    return None


def _violated(trace: Trace, definition: Definition, policy: Policy) -> tuple[str, str] | None:
    """The first constraint that a workload violates: field, and message with the sizes in it."""
    axes = trace.workload.axes
    for text in definition.violated_constraints(axes):
        if text in policy.waived_constraints:
            continue
        sizes = definition.axis_values(axes)
        shown = ", ".join(f"{name} = {sizes[name]}" for name in names_in(text) if name in sizes)
        varying = [name for name in names_in(text) if name in axes]
        place = ".".join(["workload.axes", *varying[:1]])
        return place, f"{trace.workload.uuid} violates the constraint {text!r} ({shown})"
    return None


def with_reference(definition: bytes, source: str) -> bytes:
    """The text of a definition with a file's source as its reference, where it states none."""
    try:
        fields = json.loads(definition)
    except ValueError:  # which the model says better
        return definition
    if not isinstance(fields, dict) or "reference" in fields:
        return definition
    return json.dumps({**fields, "reference": source}).encode()


def code_problems(operator: Operator) -> list[str]:
    """What no call would show of an operator's own files and of the solutions beside it.

    A function whose name is misspelt is not called, and the definition's code stands for it.
    """
    folder = operator.folder
    problems = []
    for file, called in CALLED.items() if folder else ():
        path = Path(folder or "", file)
        source = path.read_text("utf-8") if path.is_file() else None
        names = _functions(source) if source is not None else set(called)
        if not names & set(called):
            listed = " or ".join(called)
            problems.append(f"{path}: it defines no {listed}, so that nothing of it is called")
        for name, meant in _misspelt(names, called):
            problems.append(f"{path}: nothing calls {name}(): is {meant}() meant?")
        for name, meant in _misspelt(_constants(source or ""), READ.get(file, ())):
            problems.append(f"{path}: nothing reads {name}: is {meant} meant?")
    try:
        others = operator.peers() | operator.solutions()
    except HarnessError as error:  # one of them cannot be read
        return [*problems, str(error)]
    return problems + [said for one in others.values() if (said := entry_problem(one)) is not None]


def _misspelt(names: Set[str], known: Sequence[str]) -> list[tuple[str, str]]:
    """Names that nothing knows and that are like one that is not there, with that one."""
    nearest = {
        name: difflib.get_close_matches(name, known, n=1, cutoff=ALIKE)
        for name in sorted(names - set(known))
    }
    return [(name, one) for name, found in nearest.items() for one in found if one not in names]


def _constants(source: str) -> set[str]:
    """Names that a source assigns at its top level; none of one that is no Python."""
    try:
        body = python_tree(source).body
    except SyntaxError:  # whoever calls it says so
        return set()
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _functions(source: str) -> set[str]:
    """Names of the functions that a source defines; none of one that is no Python."""
    try:
        body = python_tree(source).body
    except SyntaxError:  # whoever calls it says so
        return set()
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def entry_problem(solution: Solution) -> str | None:
    """Why nothing can be called of a solution, in a sentence; None where its entry point is there.

    What Python code imports or sets anywhere counts, and so does any word of another language.
    """
    file, function = solution.spec.entry_point.split("::")
    source = next(s.content for s in solution.sources if s.path == file)
    if not file.endswith(".py"):
        there = any(re.search(rf"\b{re.escape(function)}\b", s.content) for s in solution.sources)
    else:
        try:
            tree = python_tree(source)
        except SyntaxError as error:
            return f"{solution.name}: {file}, line {error.lineno}, is no Python: {error.msg}"
        names = {getattr(node, "name", None) for node in ast.walk(tree)}
        names |= {getattr(node, "asname", None) for node in ast.walk(tree)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        there = function in names or "*" in names
    return None if there else f"{solution.name}: {file} has no {function}, its entry point"
