"""A function's code with all that it names, to stand alone as a definition's reference.

Modules become imports, plain values assignments, and functions of the same kind their own code.
What cannot be carried so is said: the draft then has a reference that raises.
"""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import torch

from ..recording.call_arguments import POSITION
from ..recording.module_state import read_with_methods
from ..recording.traced_function import TracedFunction
from ..recording.wrapper_code import recorded_by
from .definition_draft import DefinitionDraft

_PLAIN = (int, float, str, bool, type(None))


class NotCarriedError(Exception):
    """Raised when a function names what no text can carry."""


def reference_of(recorder: TracedFunction, draft: DefinitionDraft) -> tuple[str, str | None]:
    """A reference, and why it is none that runs; None where it should.

    Args:
        recorder: of the function, whose parameters are the draft's inputs and constants.
        draft: of its calls.
    """
    name, function, constants = recorder.name, recorded_by(recorder.original), draft.constants
    function = getattr(function, "__func__", function)
    function = inspect.unwrap(function) if recorder.unwraps else function
    parameters = list(draft.inputs)
    body, called, why = "", name, None
    if recorder.adapter is not None:
        body, called = recorder.adapter.reference.strip(), "compute"
    elif recorder.of_module and isinstance(function, FunctionType):
        return _of_module(function, recorder.of_module, draft)
    elif isinstance(function, FunctionType) and not function.__module__.startswith("torch."):
        try:
            body = "\n\n".join(dict.fromkeys(_carried(function, set())))
            called = function.__name__
        except (NotCarriedError, OSError, TypeError) as error:
            why = str(error)
    elif not name.startswith("torch."):
        why = "it is not written in Python"
    call = _returning(f"{called}({_passed(parameters, constants)})", draft)
    if written := draft.groups[0].written:
        # The function writes into its arguments: into copies here, which are then the outputs.
        copies = "".join(f"    {argument} = {argument}.clone()\n" for argument in written)
        call = f"{copies}    {called}({_passed(parameters, constants)})\n"
        call += f"    return {', '.join(written)}"
    if why is not None:
        call = f"    raise NotImplementedError({f'write what {name} computes: {why}'!r})"
    run = f"def run({', '.join(parameters)}):\n{call}\n"
    return _whole("import torch", body, run), why


def _returning(call: str, draft: DefinitionDraft) -> str:
    """The lines that return what a call gives, without None between its tensors."""
    places = draft.groups[0].returns
    if places is None:
        return f"    return {call}"
    kept = (f"result[{n}]" for n, place in enumerate(places) if place is not None)
    return f"    result = {call}\n    return {', '.join(kept)}"


def _of_module(
    forward: FunctionType, of_module: set[str], draft: DefinitionDraft
) -> tuple[str, str | None]:
    """A module's forward, called with an object that holds what it reads of the module."""
    inputs, constants = list(draft.inputs), draft.constants
    state = {n: n for n in inputs if n in of_module}
    state |= {n: repr(v) for n, v in constants.items() if n in of_module}
    why, body, methods = None, "", dict[str, FunctionType]()
    try:
        methods = _methods_of(forward)
        functions = (*methods.values(), forward)
        read = set[str]().union(*(_read_of_self(one) for one in functions))
        if lost := read - state.keys() - methods.keys():
            raise NotCarriedError(f"forward names {', '.join(sorted(lost))} of the module")
        if twice := methods.keys() & {name for one in functions for name in _globals_of(one)}:
            raise NotCarriedError(f"{', '.join(sorted(twice))} is a method and a function")
        seen = set[str]()
        parts = [part for one in functions for part in _carried(one, seen)]
        body = "\n\n".join(dict.fromkeys(parts))
    except (NotCarriedError, OSError, TypeError, SyntaxError) as error:
        why = str(error)
    others = {n: v for n, v in constants.items() if n not in of_module}
    passed = _passed([n for n in inputs if n not in of_module], others)
    held = ", ".join(f"{name}={value}" for name, value in state.items())
    lines = [f"    module = types.SimpleNamespace({held})"]
    lines += [f"    module.{name} = functools.partial({name}, module)" for name in methods]
    call = "\n".join([*lines, _returning(f"{forward.__name__}(module, {passed})", draft)])
    if why is not None:
        call = f"    raise NotImplementedError({f'write what the module computes: {why}'!r})"
    run = f"def run({', '.join(inputs)}):\n{call}\n"
    imports = "import functools\nimport types" if methods else "import types"
    return _whole(f"{imports}\n\nimport torch", body, run), why


def _methods_of(forward: FunctionType) -> dict[str, FunctionType]:
    """The methods of a forward's class that it calls, and those that they call, by name."""
    kind = forward.__globals__.get(forward.__qualname__.rpartition(".")[0])
    read = read_with_methods(kind, forward) if isinstance(kind, type) else None
    found = {name: inspect.getattr_static(kind, name, None) for name in sorted(read or ())}
    return {name: method for name, method in found.items() if isinstance(method, FunctionType)}


def _whole(*parts: str) -> str:
    """The parts as one text, in which annotations name nothing: their names are not carried."""
    text = "\n\n".join(part for part in parts if part)
    nodes = list(ast.walk(ast.parse(text)))
    annotated = any(getattr(node, key, None) for node in nodes for key in ("annotation", "returns"))
    return f"from __future__ import annotations\n\n{text}" if annotated else text


def _read_of_self(forward: FunctionType) -> set[str]:
    """The attributes of its first parameter that a method reads."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
    own = next(iter(inspect.signature(forward).parameters))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == own
    }


def _passed(parameters: Sequence[str], constants: Mapping[str, Any]) -> str:
    """Arguments of the call: those of functions without names for them by position."""
    values = {name: name for name in parameters} | {n: repr(v) for n, v in constants.items()}
    placed = [name for name in values if name.startswith(POSITION)]
    placed.sort(key=lambda name: int(name.removeprefix(POSITION)))
    named = [f"{name}={value}" for name, value in values.items() if name not in placed]
    return ", ".join([*(values[name] for name in placed), *named])


def _globals_of(function: FunctionType) -> dict[str, Any]:
    """What a function's code names of its module, within comprehensions and functions in it too.

    And what its defaults name, which is looked up where it is defined.
    """
    codes = [function.__code__]
    tree = ast.parse(_source(function)).body[0]
    assert isinstance(tree, ast.FunctionDef)
    defaults = [*tree.args.defaults, *(d for d in tree.args.kw_defaults if d is not None)]
    names = (node for default in defaults for node in ast.walk(default))
    named: dict[str, None] = {node.id: None for node in names if isinstance(node, ast.Name)}
    for code in codes:
        loads = (one for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL")
        named |= dict.fromkeys(one.argval for one in loads)  # `co_names` has attributes, too
        codes += [one for one in code.co_consts if isinstance(one, CodeType)]
    return {n: function.__globals__[n] for n in named if n in function.__globals__}


def _carried(function: FunctionType, seen: set[str]) -> Iterable[str]:
    """The code of a function, with that of what it names before it."""
    if function.__closure__:
        raise NotCarriedError(f"{function.__name__} is defined within another function")
    seen.add(function.__name__)
    for name, value in _globals_of(function).items():
        if name in seen or name == "torch":
            continue
        seen.add(name)
        if isinstance(value, ModuleType):
            yield f"import {value.__name__} as {name}"
        elif isinstance(value, (torch.dtype, *_PLAIN)):
            yield f"{name} = {value!r}"
        elif isinstance(value, FunctionType) and value.__name__ == name:
            yield from _carried(value, seen)
        elif isinstance(value, BuiltinFunctionType | type) and value.__module__:
            yield f"from {value.__module__} import {value.__name__} as {name}"
        else:
            raise NotCarriedError(f"{function.__name__} names {name}")
    yield _source(function)


def _source(function: FunctionType) -> str:
    """A function's code without decorators, which name what is not carried."""
    source = textwrap.dedent(inspect.getsource(function)).rstrip()
    return source[source.index("def ") :]
