"""A function's code with all that it names, to stand alone as a definition's reference.

Modules become imports, plain values assignments, and functions of the same kind their own code.
What cannot be carried so is said: the draft then has a reference that raises.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from .traced_function import POSITION

_PLAIN = (int, float, str, bool, type(None))


class NotCarriedError(Exception):
    """Raised when a function names what no text can carry."""


def reference_of(
    name: str, function: Callable[..., Any], inputs: Iterable[str], constants: Mapping[str, Any]
) -> tuple[str, str | None]:
    """A reference, and why it is none that runs; None where it should.

    Args:
        name: dotted, of the function.
        inputs: of the definition, which are the function's parameters.
        constants: further arguments, the same in every call.
    """
    parameters = list(inputs)
    body, called, why = "", name, None
    if isinstance(function, FunctionType) and not function.__module__.startswith("torch."):
        try:
            body = "\n\n".join(dict.fromkeys(_carried(function, set())))
            called = function.__name__
        except (NotCarriedError, OSError, TypeError) as error:
            why = str(error)
    elif not name.startswith("torch."):
        why = "it is not written in Python"
    call = f"    return {called}({_passed(parameters, constants)})"
    if why is not None:
        call = f"    raise NotImplementedError({f'write what {name} computes: {why}'!r})"
    run = f"def run({', '.join(parameters)}):\n{call}\n"
    return "\n\n".join(part for part in ("import torch", body, run) if part), why


def _passed(parameters: Sequence[str], constants: Mapping[str, Any]) -> str:
    """Arguments of the call: those of functions without names for them by position."""
    values = {name: name for name in parameters} | {n: repr(v) for n, v in constants.items()}
    placed = [name for name in values if name.startswith(POSITION)]
    placed.sort(key=lambda name: int(name.removeprefix(POSITION)))
    named = [f"{name}={value}" for name, value in values.items() if name not in placed]
    return ", ".join([*(values[name] for name in placed), *named])


def _carried(function: FunctionType, seen: set[str]) -> Iterable[str]:
    """The code of a function, with that of what it names before it."""
    if function.__closure__:
        raise NotCarriedError(f"{function.__name__} is defined within another function")
    seen.add(function.__name__)
    for name, value in inspect.getclosurevars(function).globals.items():
        if name in seen or name == "torch":
            continue
        seen.add(name)
        if isinstance(value, ModuleType):
            yield f"import {value.__name__} as {name}"
        elif isinstance(value, _PLAIN):
            yield f"{name} = {value!r}"
        elif isinstance(value, FunctionType) and value.__name__ == name:
            yield from _carried(value, seen)
        elif isinstance(value, BuiltinFunctionType | type) and value.__module__:
            yield f"from {value.__module__} import {value.__name__} as {name}"
        else:
            raise NotCarriedError(f"{function.__name__} names {name}")
    yield textwrap.dedent(inspect.getsource(function)).rstrip()
