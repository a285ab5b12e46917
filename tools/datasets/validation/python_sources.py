"""Whether Python functions can be called as their definition calls them, by their text alone."""

from __future__ import annotations

import ast

from ...schema.flashinfer_trace import Definition, Language, Solution
from ...text import python_tree

PYTHON = (Language.PYTHON, Language.TRITON, Language.TILELANG)


def reference_fault(definition: Definition) -> str | None:
    """Why a reference cannot be called with the definition's inputs; None when it can."""
    function = _function(python_tree(definition.reference), "run")
    count = len(definition.inputs)
    if function is None or _takes(function, count):
        return None
    return f"the reference's run cannot be called with the {count} inputs"


def entry_fault(solution: Solution, definition: Definition) -> str | None:
    """Why a solution's entry point cannot be called; None when it can, or is no Python."""
    spec = solution.spec
    if spec.language not in PYTHON or not solution.entry_file.endswith(".py"):
        return None
    text = next(s.content for s in solution.sources if s.path == solution.entry_file)
    try:
        tree = python_tree(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return f"{solution.entry_file} is no Python: {getattr(error, 'msg', error)} (line {line})"
    function = _function(tree, solution.entry_function)
    count = len(definition.inputs)
    if spec.destination_passing_style:
        count += len(definition.outputs)
    if function is not None and not _takes(function, count):
        what = "inputs and outputs" if spec.destination_passing_style else "inputs"
        return f"{spec.entry_point} cannot be called with the {count} {what}"
    if function is None and not _is_bound(tree, solution.entry_function):
        return f"{solution.entry_file} has no {solution.entry_function}"
    return None


def _function(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    """The last plain function of that name at the top of a module, unless it is decorated."""
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    return found[-1] if found and not found[-1].decorator_list else None


def _takes(function: ast.FunctionDef, count: int) -> bool:
    """Whether it can be called with so many positional arguments."""
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keyword = any(default is None for default in arguments.kw_defaults)
    enough = required <= count and (count <= positional or arguments.vararg is not None)
    return enough and not keyword


def _is_bound(tree: ast.Module, name: str) -> bool:
    """Whether anything at the top of a module may bind the name: an import, a class, a value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            if any(
                alias.name == "*" or (alias.asname or alias.name) == name for alias in node.names
            ):
                return True
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
            return True
        elif isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return True
    return False
