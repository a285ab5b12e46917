"""What could not be read of a dataset, with its place, and what makes a workload unusable."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Container, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..schema.constraints import names_in
from ..schema.flashinfer_trace import (
    Definition,
    SafetensorsInput,
    Solution,
    Trace,
    Workload,
)
from ..text import MOST_FAULTS, field_faults, python_tree
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
LFS_MARK = b"version https://git-lfs"
LFS_POINTER_BYTES = 1024
OF_A_FOLDER = (
    *("definition.json", "workloads.jsonl", "policy.toml", "structure.json", "published.json"),
    "reference.py",
)
"""Files of an operator's folder that are read with it; a dataset's are named by the definition."""
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
        return self.folder.name if self.folder else Path(self.file).stem

    @property
    def folder(self) -> Path | None:
        """The operator's own folder, where the file is one of it; None for a dataset's file."""
        file = Path(self.file)
        return file.parent if file.name in OF_A_FOLDER else None

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


def refused(
    file: str, line: int | None, error: ValidationError | OSError | UnicodeDecodeError
) -> list[DatasetProblem]:
    """Why a file or a line of one could not be read: every field, the first ones of very many."""
    if not isinstance(error, ValidationError):
        words = error.strerror if isinstance(error, OSError) else str(error)
        return [DatasetProblem(file, line, "", f"cannot be read: {words}")]
    faults = field_faults(error)
    shown = [DatasetProblem(file, line, place, words) for place, words in faults[:MOST_FAULTS]]
    more = len(faults) - len(shown)
    return shown + ([DatasetProblem(file, line, "", f"and {more} more")] if more else [])


def faults_of(
    trace: Trace,
    definition: Definition,
    policy: Policy,
    found: Container[str],
    *,
    own_inputs: bool,
) -> list[tuple[str, str]]:
    """All that makes a line unusable as a workload of this definition: fields and messages.

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
    said = [(place, message) for bad, place, message in faults if bad]
    if trace.definition != definition.name:  # what else is wrong with it is that one's
        return said
    if not own_inputs:
        said += _valueless(trace.workload, definition, policy)
    return said if missing or undeclared else [*said, *_violated(trace, definition, policy)]


def _valueless(
    workload: Workload, definition: Definition, policy: Policy
) -> Iterator[tuple[str, str]]:
    """The scalars that nothing gives a value: one drawn at random makes another operator."""
    seeds = {
        name for sampled in sampled_outputs(definition, policy).values() for name in sampled.seeds
    }
    known = {*workload.scalars(definition), *seeds}
    for name, spec in definition.inputs.items():
        stored = isinstance(workload.inputs.get(name), SafetensorsInput)
        if spec.shape is None and name not in known and not stored:
            yield (
                f"workload.inputs.{name}",
                f"{workload.uuid} gives the scalar {name!r} no value; state "
                '{"type": "scalar", "value": …}, or give the input a "default" in the definition',
            )


def _violated(trace: Trace, definition: Definition, policy: Policy) -> Iterator[tuple[str, str]]:
    """The constraints that a workload violates: fields, and messages with the sizes in them."""
    axes = trace.workload.axes
    for text in definition.violated_constraints(axes):
        if text in policy.waived_constraints:
            continue
        sizes = definition.axis_values(axes)
        shown = ", ".join(f"{name} = {sizes[name]}" for name in names_in(text) if name in sizes)
        varying = [name for name in names_in(text) if name in axes]
        place = ".".join(["workload.axes", *varying[:1]])
        yield place, f"{trace.workload.uuid} violates the constraint {text!r} ({shown})"


def tensor_file_faults(root: Path, workloads: Sequence[Workload]) -> list[str]:
    """What is wrong with the tensor files that workloads name, a line for each kind of fault."""
    named = {
        spec.path
        for workload in workloads
        for spec in workload.inputs.values()
        if isinstance(spec, SafetensorsInput)
    }
    missing = sorted(name for name in named if not (root / name).is_file())
    pointers = sorted(n for n in named.difference(missing) if is_lfs_pointer(root / n))
    kinds = (
        (missing, "do not exist"),
        (pointers, "are git-lfs pointers (git lfs pull fetches them)"),
    )
    return [
        f"{len(found)} of {len(named)} tensor files {words}, e.g. {found[0]}"
        for found, words in kinds
        if found
    ]


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file only stands for one that was not fetched; tensors themselves are not read."""
    if path.stat().st_size > LFS_POINTER_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(LFS_MARK)) == LFS_MARK


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
    problems = syntax_faults(folder) if folder else []
    for file, called in CALLED.items() if folder else ():
        path = Path(folder or "", file)
        source = path.read_text("utf-8", "replace") if path.is_file() else None
        if any(fault.startswith(f"{path}:") for fault in problems):
            continue
        names = _functions(source) if source is not None else set(called)
        if not names & set(called):
            listed = " or ".join(called)
            problems.append(f"{path}: it defines no {listed}, so that nothing of it is called")
        for name, meant in _misspelt(names, called):
            problems.append(f"{path}: nothing calls {name}(): is {meant}() meant?")
        for name, meant in _misspelt(_constants(source or ""), READ.get(file, ())):
            problems.append(f"{path}: nothing reads {name}: is {meant} meant?")
    others, unread = operator.solutions_beside()
    faults = [said for one in others if (said := entry_problem(one)) is not None]
    return [*problems, *unread, *faults]


def syntax_faults(folder: Path) -> list[str]:
    """Which Python files that stand in an operator's folder are no Python, each with its line."""
    faults = []
    for path in sorted(folder.glob("*.py")):
        try:
            python_tree(path.read_text("utf-8"))
        except SyntaxError as error:
            faults.append(f"{path}:{error.lineno}: it is no Python: {error.msg}")
        except ValueError as error:  # bytes that are no text, or zeros among it
            faults.append(f"{path}: it is no text in UTF-8: {error}")
    return faults


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
