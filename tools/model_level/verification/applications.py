"""Which deployed kernel stands for which function of a program, and how its inputs are made."""

from __future__ import annotations

import inspect
import operator
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...applying.routing import Applied, apply
from ...errors import RequestError
from .verified_runs import KernelTarget

Noted = Callable[[tuple[Any, ...], dict[str, Any]], None]
"""Is given the arguments of every call."""


def put(target: KernelTarget, folder: Path, noted: Noted | None = None) -> Applied:
    """Routes the calls of a function to its kernel.

    Args:
        folder: of deployed kernels.
        noted: is called before each call.

    Raises:
        RequestError: when the function is not there, or the inputs cannot be made of its arguments.
    """
    if target.inputs is None and noted is None:
        return apply(target.target, folder, target.definition)
    function = _function(target.target)
    names = list(inspect.signature(function).parameters)
    expressions = list((target.inputs or dict.fromkeys(names, "")).items())
    getters = [_getter(said or name, names) for name, said in expressions]

    def inputs(*args: Any, **kwargs: Any) -> Sequence[Any]:
        if noted is not None:
            noted(args, kwargs)
        if kwargs or len(args) != len(names):
            bound = inspect.signature(function).bind(*args, **kwargs)
            bound.apply_defaults()
            args = tuple(bound.arguments.values())
        return [getter(args) for getter in getters]

    return apply(target.target, folder, target.definition, inputs=inputs)


def _function(named: str) -> Callable[..., Any]:
    try:
        found = pkgutil.resolve_name(named)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            f"{named!r} is not there: {error}",
            remedy="Name a function as 'package.module.function' or 'package.module.Class.method'.",
        ) from error
    return found


def _getter(said: str, names: Sequence[str]) -> Callable[[tuple[Any, ...]], Any]:
    """What takes an input out of a call's arguments."""
    name, _, path = said.partition(".")
    if name not in names:
        raise RequestError(
            f"No parameter is named {name!r}: there are {', '.join(names)}",
            remedy="Say for each input which parameter it is, as 'x' or 'self.weight'.",
        )
    position = names.index(name)
    if not path:
        return operator.itemgetter(position)
    attribute = operator.attrgetter(path)
    return lambda args: attribute(args[position])
