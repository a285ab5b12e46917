"""What a module's forward reads besides its arguments: parameters, buffers and plain attributes."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch


def state_of(
    module: torch.nn.Module, forward: Callable[..., Any], taken: set[str]
) -> dict[str, Any]:
    """What a forward reads of its module: parameters and buffers, None too, and plain attributes.

    Args:
        forward: whose code tells what is read; all parameters where it hands the module on.
        taken: names of arguments, under which nothing of the module can go.
    """
    forward = inspect.unwrap(getattr(forward, "__func__", forward))
    read = read_with_methods(type(module), forward)
    found: dict[str, Any] = {
        name.replace(".", "_"): value
        for name, value in (*module.named_parameters(), *module.named_buffers())
        if read is None or name.partition(".")[0] in read
    }
    named = read
    if named is None:
        code = getattr(forward, "__code__", None)
        named = frozenset(code.co_names if code else ())
    for name in sorted(named - found.keys()):
        value = getattr(module, name, taken)
        if value is None or isinstance(value, bool | int | float | str | torch.dtype):
            found[name] = value
        elif isinstance(value, tuple | list) and all(isinstance(v, int | float) for v in value):
            found[name] = tuple(value)
    return {name: value for name, value in found.items() if name not in taken}


@functools.lru_cache(maxsize=1024)
def read_with_methods(kind: type, forward: Callable[..., Any]) -> frozenset[str] | None:
    """The attributes of a module that a function reads, and methods of it that it calls.

    None where one of them hands the module on, or reads a property, which may read anything.
    """
    found: set[str] = set()
    functions = [forward]
    for function in functions:
        read = read_of_module(function)
        if read is None:
            return None
        for name in read - found:
            method = inspect.getattr_static(kind, name, None)
            if isinstance(method, FunctionType):
                functions.append(method)
            elif method is not None:
                return None
        found |= read
    return frozenset(found)


@functools.lru_cache(maxsize=1024)
def read_of_module(forward: Callable[..., Any]) -> frozenset[str] | None:
    """The attributes that a function reads of its first argument; None where it hands that on."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
        own = next(iter(inspect.signature(forward).parameters))
    except (OSError, TypeError, ValueError, SyntaxError, StopIteration):
        return None
    found: set[str] = set()
    known: set[ast.AST] = set()
    for node in ast.walk(tree):  # what holds a name comes before it
        match node:
            case ast.Attribute(value=ast.Name(id=name) as of, attr=attribute) if name == own:
                found.add(attribute)
                known.add(of)
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"),
                args=[ast.Name(id=name) as of, ast.Constant(value=str(attribute)), *_],
            ) if name == own:
                found.add(attribute)
                known.add(of)
            case ast.Name(id=name) if name == own and node not in known:
                return None
            case _:
                pass
    return frozenset(found)
