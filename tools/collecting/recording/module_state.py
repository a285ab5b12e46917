"""What a module's forward reads besides its arguments: parameters, buffers and plain attributes."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Collection
from types import FunctionType
from typing import Any

import torch

_PLAIN = (bool, int, float, str, torch.dtype)


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
        if _is_plain(value := getattr(module, name, taken)):
            found[name] = _fixed(value)
    return {name: value for name, value in found.items() if name not in taken}


class StateReader:
    """Reads what one forward reads of modules, and of those of a kind that it has met quickly.

    Args:
        forward: of the modules.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward = forward
        self._names: dict[type, dict[str, bool]] = {}

    def read(self, module: torch.nn.Module, taken: Collection[str]) -> dict[str, Any]:
        """The same as `state_of`."""
        found = self._again(module, taken)
        if found is None:
            found = state_of(module, self._forward, set(taken))
            forward = inspect.unwrap(getattr(self._forward, "__func__", self._forward))
            read = read_with_methods(type(module), forward)
            if read is not None:
                names = [*(name for name in found if name in read), *sorted(read - found.keys())]
                tensors = {n for n, value in found.items() if isinstance(value, torch.Tensor)}
                self._names[type(module)] = {name: name in tensors for name in names}
        return found

    def _again(self, module: torch.nn.Module, taken: Collection[str]) -> dict[str, Any] | None:
        """What is read of a module of a known kind; None where this one is another."""
        known = self._names.get(type(module))
        if known is None:
            return None
        found: dict[str, Any] = {}
        for name, is_tensor in known.items():
            value = getattr(module, name, taken)
            if isinstance(value, torch.nn.Module) or is_tensor != isinstance(value, torch.Tensor):
                return None
            if name not in taken and (is_tensor or _is_plain(value)):
                found[name] = value if is_tensor else _fixed(value)
        return found


def _is_plain(value: Any) -> bool:
    """Whether an attribute is a number, a text or the like, or a row of numbers."""
    if isinstance(value, tuple | list):
        return all(isinstance(one, int | float) for one in value)
    return value is None or isinstance(value, _PLAIN)


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, tuple | list) else value


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
