"""Faults of a solution that need no process to be seen: the answer comes back in milliseconds.

Advice that comes early, never a gate that comes late: what passes here is judged all the same, and
nothing in a source can talk its way past the judge. It parses Python; it never imports it. Parsing
holds the interpreter's lock, so sources beyond a bound are left to the candidate's own process.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from ..errors import DatasetError, HarnessError
from ..schema.evaluation import Failure, Stage, Status
from ..schema.flashinfer_trace import Definition, Solution
from ..text import python_tree

PYTHON = ("python", "triton", "tilelang")
MOST_PARSED = 64 << 10
"""Characters of Python, over all sources: they take a quarter of a second at worst."""

_LACKING = re.compile(
    r"NotImplementedError: (.*?not implemented for '\w+'"
    r"|Could not run '[^']+' with arguments from the 'CPU' backend)"
)
"""How torch says that it has a function for other types, or other devices, alone."""


def precheck(solution: Solution, definition: Definition) -> tuple[Status, Failure] | None:
    """Looks for what would certainly fail: wrong operator, missing entry, syntax errors."""
    if solution.definition != definition.name:
        return _invalid(
            "wrong_definition",
            f"The solution is for {solution.definition!r}, not for {definition.name!r}.",
            "Set definition in candidate.toml to the operator you are working on.",
        )
    file_name = solution.spec.entry_point.partition("::")[0]
    sources = {source.path: source.content for source in solution.sources}
    if sum(len(text) for path, text in sources.items() if path.endswith(".py")) > MOST_PARSED:
        return None
    trees: dict[str, ast.Module] = {}
    try:
        for path, content in sources.items():
            if path.endswith(".py"):
                found = _tree_or_fault(path, content)
                if isinstance(found, Failure):
                    return Status.COMPILE_ERROR, found
                trees[path] = found
        if str(solution.spec.language.value) in PYTHON:
            content = sources[file_name]
            tree = trees.get(file_name) or python_tree(content.removeprefix("\ufeff"))
            return _entry_fault(tree, content, solution, definition)
    except (RecursionError, MemoryError):
        # Nested deeper than this process can parse: the candidate's own may try.
        return None
    return None


def _invalid(kind: str, message: str, remedy: str) -> tuple[Status, Failure]:
    failure = Failure(stage=Stage.REQUEST, kind=kind, message=message, remedy=remedy)
    return Status.INVALID_CANDIDATE, failure


def _tree_or_fault(path: str, content: str) -> ast.Module | Failure:
    """The syntax tree of a source, or what is wrong with it."""
    try:
        return python_tree(content.removeprefix("\ufeff"), filename=path)
    except SyntaxError as error:
        line = (error.text or "").rstrip("\n")
        caret = " " * max((error.offset or 1) - 1, 0) + "^"
        return Failure(
            stage=Stage.COMPILE,
            kind="syntax_error",
            message=f"{path}, line {error.lineno}: {error.msg}.",
            remedy="Fix the line shown and evaluate again.",
            excerpt=f"{path}:{error.lineno}\n{line}\n{caret}",
        )
    except ValueError as error:
        return Failure(
            stage=Stage.COMPILE,
            kind="syntax_error",
            message=f"{path} is no Python source: {error}.",
            remedy="Write the file as UTF-8 text without null bytes.",
        )


def _entry_fault(
    tree: ast.Module, content: str, solution: Solution, definition: Definition
) -> tuple[Status, Failure] | None:
    file_name, _, symbol = solution.spec.entry_point.partition("::")
    function = next(
        (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == symbol), None
    )
    if function is None:
        # The name may still be bound in a way that parsing cannot see (import, assignment).
        if symbol in content:
            return None
        there = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
        return _invalid(
            "missing_entry_point",
            f"{file_name} defines no {symbol!r}, but {', '.join(there[:8]) or 'no function'}.",
            f"Define def {symbol}(...) at the top level of {file_name}, or name another entry.",
        )
    style = solution.spec.destination_passing_style
    passed = len(definition.inputs) + (len(definition.outputs) if style else 0)
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    least = positional - len(arguments.defaults)
    enough = positional >= passed or arguments.vararg is not None
    if least <= passed and enough:
        return None
    names = list(definition.inputs) + (list(definition.outputs) if style else [])
    convention = "destination passing" if style else "value returning"
    return _invalid(
        "wrong_signature",
        f"{symbol} takes {positional} positional arguments; {passed} are passed ({convention}).",
        f"Declare def {symbol}({', '.join(names)}).",
    )


def infrastructure_fault(error: HarnessError) -> Failure:
    """The failure of an evaluation that the harness could not carry out."""
    return Failure(
        stage=Stage.REQUEST,
        kind="infrastructure",
        message=error.what,
        remedy=error.remedy or "Evaluate again; this was not the candidate's fault.",
        excerpt=error.where or None,
    )


def interruption(message: str) -> Failure:
    """The failure of an evaluation that was ended before its verdict."""
    return Failure(
        stage=Stage.REQUEST,
        kind="interrupted",
        message=message,
        remedy="Evaluate again; nothing was decided.",
    )


def lacking_here(said: str) -> str | None:
    """What torch lacks without a GPU of what an operator's code calls; None of another fault."""
    found = _LACKING.search(said)
    return found and f"torch on the processor lacks what the operator's code calls: {found[1]}"


def operator_fault(
    error: DatasetError, others: Sequence[str] = (), *, interpreted: bool = False
) -> tuple[Status, Failure]:
    """The status and failure of an evaluation whose operator cannot be used here.

    Args:
        others: what else of its files is at fault, each with its place.
        interpreted: it ran without a GPU, where torch lacks functions for some types.
    """
    place = f" ({error.where})" if error.where else ""
    if interpreted and (lacking := lacking_here(error.what)):
        message = f"This machine cannot judge it: {lacking}{place}."
        remedy = "Evaluate it on a machine with an NVIDIA GPU."
        fields = {"stage": Stage.REQUEST, "kind": "needs_gpu"}
        return Status.NOT_JUDGED, Failure(**fields, message=message, remedy=remedy)
    file = (error.where or "\0").partition(", line ")[0]
    more = "".join(f" Also {one}." for one in others if not one.startswith(file))
    failure = Failure(
        stage=Stage.REQUEST,
        kind="operator",
        message=f"{error.what}{place}{'.' * bool(more)}{more}",
        remedy=error.remedy or "Correct the operator's files; no change to the candidate helps.",
    )
    return Status.INVALID_REFERENCE, failure
