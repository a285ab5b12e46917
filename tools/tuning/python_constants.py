"""Where Python sources hold a constant: assignments, tables, launches; and how it is replaced.

It parses and never imports. An assignment counts where it is the only one of its name: at the top
level of a module, or in one function; whoever rebinds a name elsewhere computes it.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import RequestError
from ..text import one_line, python_tree
from .places import Edit, ValuePlace, edited, moved

_LINE_END = re.compile(r"\r\n|\r|\n")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef, ast.Lambda)
_BOM = "\ufeff"
MOST_LOOKED_AT = 64
"""Names of a source that are looked for, to list those that are constants."""
MOST_LINES = 4
"""That are named of a variable's assignments."""


def places(text: str, constant: str) -> list[ValuePlace] | str:
    """The places of a constant's value, or why there are none; empty when nothing is so called."""
    try:
        tree = python_tree(text.removeprefix(_BOM))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"cannot be looked for, for the source is no Python ({type(error).__name__})"
    found = _nodes(tree, constant)
    return found if isinstance(found, str) else [_placed(text, node) for node in found]


def _nodes(tree: ast.Module, constant: str) -> list[ast.AST] | str:
    """The nodes of a constant's value, or why there are none; see `places`."""
    owner, _, key = constant.rpartition(".")
    found = _of_table(tree, owner, key) if owner else _of_module(tree, constant)
    if isinstance(found, str) and (owner or not found):
        launched = _of_launches(tree, owner, key)
        found = launched if not isinstance(launched, str) else found or launched
    if isinstance(found, str) and _may_be_local(tree, owner, key):
        found = _of_functions(tree, owner, key) or found
    return found


def launched_with(text: str, constant: str) -> str:
    """The kernel whose launches alone hold a constant that `places` finds; empty: none does."""
    tree = python_tree(text.removeprefix(_BOM))
    owner, _, key = constant.rpartition(".")
    at_top = _of_table(tree, owner, key) if owner else _of_module(tree, key)
    if isinstance(at_top, list) or (at_top and not owner):
        return ""
    of_launches = _of_launches(tree, owner, key)
    return "" if isinstance(of_launches, str) else next(iter(_launched(tree, owner, key)))


def plain_kernel(texts: Iterable[str], kernel: str, keyword: str) -> bool:
    """Whether one of some sources defines a kernel of Triton that is not given a keyword itself.

    It is no parameter of it, as one is that its grid may ask for, and nothing wraps the kernel but
    `triton.jit`: what computes values from others of a launch, may from this one.
    """
    name = kernel.rpartition(".")[2]
    bound = [
        node
        for text in texts
        for node in _bindings(python_tree(text.removeprefix(_BOM)), name)
        if not isinstance(node, ast.Import | ast.ImportFrom)
    ]
    if len(bound) != 1 or not isinstance(node := bound[0], ast.FunctionDef):
        return False
    taken = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
    wrapped_by = [ast.unparse(one) for one in node.decorator_list]
    return keyword not in taken and wrapped_by in (["triton.jit"], ["jit"])


def names(text: str, most: int) -> list[str]:
    """What a call may name here, the first: constants of the module and of functions, keywords.

    Entries of tables and functions that answer tiles can be named, too; they are not listed.
    """
    try:
        tree = python_tree(text.removeprefix(_BOM))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    passed = [
        keyword.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript)
        for keyword in node.keywords
        if keyword.arg is not None and _is_literal(keyword.value)
    ]
    local = [
        node
        for function in ast.walk(tree)
        if isinstance(function, _FUNCTIONS) and not function.decorator_list
        for node in _statements(function.body)
    ]
    # Each is looked for in the whole tree, so those that cannot be one are left out before.
    likely = dict.fromkeys([*_literals(tree.body), *passed, *_literals(local)])
    looked_at = itertools.islice(likely, MOST_LOOKED_AT)
    found = (name for name in looked_at if not isinstance(_nodes(tree, name), str))
    return list(itertools.islice(found, most))


def _literals(statements: Iterable[ast.stmt]) -> list[str]:
    """The names to which one of these statements, and no more of them, gives a literal."""
    bound = [(name, node) for node in statements for name in sorted(_bound_by(node))]
    times = Counter(name for name, _ in bound)
    return [
        name
        for name, node in bound
        if times[name] == 1 and (value := _value_for(node, name)) is not None and _is_literal(value)
    ]


def literal(name: str, value: Any, place: ValuePlace) -> str:
    """The value as Python writes it; a list that a function is to answer becomes a tuple."""
    if place.answers:
        answer = tuple(value) if isinstance(value, list) else value
        return f"return {answer!r}"
    return repr(value)


def replaced(text: str, edits: Sequence[Edit]) -> str:
    """The source with each place's value replaced.

    Raises:
        RequestError: when the result is not the old source with those values in it.
    """
    changed = edited(text, edits)
    if _blanked(text, [place for place, _ in edits]) != _blanked(changed, moved(edits)):
        raise RequestError(
            "The values cannot be put into the source without changing more of it",
            remedy="Give each constant a line of its own, with nothing else on it.",
        )
    return changed


def _blanked(text: str, at: Sequence[ValuePlace]) -> str:
    """The tree of a source, each of these places being exactly one node of it, left out."""
    spans = {(place.start, place.end) for place in at}
    lines = SourceLines(text)
    tree = python_tree(text.removeprefix(_BOM))
    blanked = 0
    for parent in ast.walk(tree):
        if isinstance(parent, ast.FunctionDef) and lines.body(parent) in spans:
            parent.body = [ast.Pass()]
            blanked += 1
            continue
        for field, child in ast.iter_fields(parent):
            if isinstance(child, ast.expr) and lines.span(child, child) in spans:
                setattr(parent, field, ast.Constant(0))
                blanked += 1
            elif isinstance(child, list):
                hits = [isinstance(c, ast.expr) and lines.span(c, c) in spans for c in child]
                new = [ast.Constant(0) if hit else c for hit, c in zip(hits, child, strict=True)]
                setattr(parent, field, new)
                blanked += sum(hits)
    return f"{blanked} {ast.dump(tree)}" if blanked == len(spans) else f"not found: {text}"


def _of_module(tree: ast.Module, name: str) -> list[ast.AST] | str:
    """The value of a module's only assignment to a name, or a function's body."""
    node = _assigned(tree, name)
    if isinstance(node, str) or isinstance(node, ast.FunctionDef):
        return node if isinstance(node, str) else [node]
    return [node] if _is_literal(node) else f"is computed, in line {node.lineno}"


def _may_be_local(tree: ast.Module, owner: str, name: str) -> bool:
    """Whether a name is none of the module's, and all that launches are given by it is itself."""
    if owner:
        return any(isinstance(node, _FUNCTIONS) and node.name == owner for node in ast.walk(tree))
    values = [value for given in _launched(tree, "", name).values() for value in given]
    itself = all(isinstance(value, ast.Name) and value.id == name for value in values)
    return itself and not any(_bindings(tree, name))


def _of_functions(tree: ast.Module, owner: str, name: str) -> list[ast.AST] | str:
    """The value of the only assignment to a variable of a function, of that name if one is given.

    Else why that is no constant; empty where no function has such a variable.
    """
    found = [
        (function, node)
        for function in ast.walk(tree)
        if isinstance(function, _FUNCTIONS) and owner in ("", function.name)
        for node in _statements(function.body)
        if name in _bound_by(node)
    ]
    if not found:
        return "" if owner else _of_others(tree, name)
    lines = ", ".join(str(node.lineno) for _, node in found[:MOST_LINES])
    functions = {id(function): function for function, _ in found}
    if len(functions) > 1:
        names = dict.fromkeys(f"{function.name}.{name}" for function in functions.values())
        choice = f"; name {' or '.join(names)}" if len(names) == len(functions) else ""
        return f"is assigned within several functions, in lines {lines}{choice}"
    (function,) = functions.values()
    bound = [
        node
        for node in ast.walk(function)
        if (isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load))
        or (isinstance(node, ast.arg) and node.arg == name)
        or (isinstance(node, ast.Global | ast.Nonlocal) and name in node.names)
    ]
    if len(found) > 1 or len(bound) > 1:
        return f"is bound several times within {function.name}, in line {lines}"
    value = _value_for(found[0][1], name)
    if value is None:
        return f"is not assigned alone, in line {lines}"
    return [value] if _is_literal(value) else f"is computed within a function, in line {lines}"


def _of_others(tree: ast.Module, name: str) -> str:
    """Where a class or an expression binds a name, in words; empty where none does."""
    stored = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name]
    lines = sorted({n.lineno for n in stored if isinstance(n.ctx, ast.Store)})
    words = ", ".join(map(str, lines[:MOST_LINES]))
    return f"is bound in line {words}, by neither the module nor a function" if lines else ""


def _assigned(tree: ast.Module, name: str) -> ast.expr | ast.FunctionDef | str:
    """What a module binds a name to, if it does so once; else why that is no constant."""
    bound = list(_bindings(tree, name))
    if not bound:
        return ""
    lines = ", ".join(str(node.lineno) for node in bound)
    if len(bound) > 1:
        return f"is bound several times, in lines {lines}"
    if any(isinstance(n, ast.Global) and name in n.names for n in ast.walk(tree)):
        return "is rebound by a function that calls it global"
    (node,) = bound
    if node not in tree.body:
        return f"is bound in line {lines}, not at the top level"
    if isinstance(node, ast.FunctionDef):
        return "is a decorated function, no constant" if node.decorator_list else node
    value = _value_for(node, name)
    return f"is not assigned alone, in line {lines}" if value is None else value


def _value_for(node: ast.stmt, name: str) -> ast.expr | None:
    """What an assignment gives a name, alone or beside others: `BLOCK = 64`, `M, N = 64, 32`."""
    if isinstance(node, ast.AnnAssign):
        return _in_constexpr(node.value) if node.value else None
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return None
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name):
        return _in_constexpr(value)
    if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)):
        return None
    if len(target.elts) != len(value.elts) or not all(
        isinstance(part, ast.Name) for part in target.elts
    ):
        return None  # what a star takes is known when it runs
    given = [v for t, v in zip(target.elts, value.elts, strict=True) if ast.unparse(t) == name]
    return _in_constexpr(given[0]) if len(given) == 1 else None


def _of_table(tree: ast.Module, owner: str, key: str) -> list[ast.AST] | str:
    """The value at a key of a table that is assigned once, at the top level of a module."""
    table = _assigned(tree, owner)
    if not isinstance(table, ast.Dict):
        return ""  # a kernel, perhaps: its launches are looked at next
    if None in table.keys:
        return f"may be overwritten by what ** adds to the table {owner}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            if isinstance(node.value, ast.Name) and node.value.id == owner:
                return f"may be overwritten: line {node.lineno} changes the table {owner}"
    pairs = zip(table.keys, table.values, strict=True)
    found = [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == key]
    if len(found) != 1:
        return f"is {'not a key' if not found else 'a repeated key'} of the table {owner}"
    return list(found) if _is_literal(found[0]) else f"is computed, in line {found[0].lineno}"


def _of_launches(tree: ast.Module, kernel: str, keyword: str) -> list[ast.AST] | str:
    """The values that launches of a kernel, `kernel[grid](…)`, give a keyword."""
    launches = _launched(tree, kernel, keyword)
    if not launches:
        return f"is passed by no launch of {kernel}" if kernel else ""
    if len(launches) > 1:
        names = " or ".join(f"{name}.{keyword}" for name in launches)
        return f"is passed by launches of several kernels; name {names}"
    ((name, values),) = launches.items()
    computed = [str(value.lineno) for value in values if not _is_literal(value)]
    if computed:
        written = {ast.unparse(value) for value in values}
        as_what = written.pop() if len(written) == 1 else "an expression"
        return f"is passed to {name} as {one_line(as_what, 40)}, in line {', '.join(computed)}"
    return list(values)


def _launched(tree: ast.Module, kernel: str, keyword: str) -> dict[str, list[ast.expr]]:
    """By kernel, or of that kernel alone, the values that its launches give a keyword."""
    launches: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
            name = ast.unparse(node.func.value)
            given = [k.value for k in node.keywords if k.arg == keyword]
            if given and kernel in ("", name):
                launches.setdefault(name, []).extend(given)
    return launches


def _bindings(tree: ast.Module, name: str) -> Iterator[ast.stmt]:
    """Every statement of a module that binds a name of the module, at any depth of blocks."""
    for statement in _statements(tree.body):
        if name in _bound_by(statement):
            yield statement


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, _SCOPES):
            continue
        for block in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, block, []))
        for handler in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
            yield from _statements(handler.body)


def _bound_by(statement: ast.stmt) -> set[str]:
    """The names that a statement itself binds, those of blocks in it aside."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {a.asname or a.name.partition(".")[0] for a in statement.names}
    names: set[str] = set()
    edge: list[ast.AST] = list(ast.iter_child_nodes(statement))
    while edge:
        node = edge.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        if not isinstance(node, ast.stmt | ast.Lambda | ast.comprehension):
            edge += ast.iter_child_nodes(node)
    return names


def _in_constexpr(value: ast.expr) -> ast.expr:
    """What `tl.constexpr(…)` wraps, or the value itself."""
    if isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords:
        if ast.unparse(value.func).rpartition(".")[2] == "constexpr":
            return value.args[0]
    return value


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return not isinstance(value, ast.JoinedStr)


def _placed(text: str, node: ast.AST) -> ValuePlace:
    lines = SourceLines(text)
    if isinstance(node, ast.FunctionDef):
        start, end = lines.body(node)
        return ValuePlace(start, end, "a function", answers=True)
    start, end = lines.span(node, node)
    return ValuePlace(start, end, text[start:end])


class SourceLines:
    """Where the nodes of a source's tree lie in it, in characters: the parser counts in bytes."""

    def __init__(self, text: str) -> None:
        bom = len(_BOM) if text.startswith(_BOM) else 0
        self._starts = [bom, *(found.end() for found in _LINE_END.finditer(text))]
        self._text = text

    def span(self, first: ast.AST, last: ast.AST) -> tuple[int, int]:
        """From the beginning of a node to the end of a later one, or of itself."""
        start = self._offset(getattr(first, "lineno", 1), getattr(first, "col_offset", 0))
        end = self._offset(getattr(last, "end_lineno", 1), getattr(last, "end_col_offset", 0))
        return start, end

    def body(self, function: ast.FunctionDef) -> tuple[int, int]:
        """The statements of a function."""
        return self.span(function.body[0], function.body[-1])

    def _offset(self, line: int, column: int) -> int:
        start = self._starts[line - 1]
        text = self._text[start : start + column]  # a character takes a byte or more
        return start + (column if text.isascii() else len(text.encode()[:column].decode()))
