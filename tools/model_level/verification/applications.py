"""Which deployed kernel stands for which function of a program, and how its inputs are made."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...applying.routing import Applied, apply
from ...collecting.adapters.adapter import Adapter, RememberedCalls
from ...collecting.adapters.table import adapter_of
from ...errors import RequestError
from .verified_runs import KernelTarget

Made = Callable[[tuple[Any, ...], dict[str, Any]], Sequence[Any] | None]
"""Makes the operator's inputs of a call's arguments; None for a call of another operator."""


def put(target: KernelTarget, folder: Path) -> Applied:
    """Routes the calls of a function to its kernel.

    Args:
        folder: of deployed kernels.

    Raises:
        RequestError: when the function is not there, or the inputs cannot be made of its arguments.
    """
    if target == KernelTarget(target.target, target.definition):
        return apply(target.target, folder, target.definition)
    function = _function(target.target)
    made = _adapted(function, target) if target.adapted else _bound(function, target)
    copied = [n for n, name in enumerate(target.inputs or ()) if name in target.copied]

    def inputs(*args: Any, **kwargs: Any) -> Sequence[Any] | None:
        given = made(args, kwargs)
        if given is None or not copied:
            return given
        return [value.contiguous() if n in copied else value for n, value in enumerate(given)]

    outputs = None if target.returns is None else _returning(target.returns)
    return apply(target.target, folder, target.definition, inputs=inputs, outputs=outputs)


def _function(named: str) -> Callable[..., Any]:
    try:
        found = pkgutil.resolve_name(named)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            f"{named!r} is not there: {error}",
            remedy="Name a function as 'package.module.function' or 'package.module.Class.method'.",
        ) from error
    return found


def _returning(places: Sequence[int | None]) -> Callable[[Any], tuple[Any, ...]]:
    """What makes the row that a function returns of an operator's outputs."""

    def returned(result: Any) -> tuple[Any, ...]:
        several = result if isinstance(result, tuple) else (result,)
        return tuple(None if place is None else several[place] for place in places)

    return returned


def _bound(function: Callable[..., Any], target: KernelTarget) -> Made:
    """Takes inputs out of the arguments, which are bound to the function's parameters."""
    signature = inspect.signature(function)
    names = list(signature.parameters)
    # Where a function takes any words, its arguments have names and no places.
    words = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
    places = None if words else names
    expressions = (target.inputs or dict.fromkeys(names, "")).items()
    getters = [_getter(said or name, places) for name, said in expressions]
    fixed = [(_getter(said, places), _known(value)) for said, value in target.constants.items()]
    said = (*(said or name for name, said in expressions), *target.constants)
    known = {one.partition(".")[0] for one in said}

    def made(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Any] | None:
        given: Any = args
        if words or kwargs or len(args) != len(names):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = tuple(bound.arguments.values())
            if words:
                given = dict(bound.arguments)
                given |= given.pop(words)
                if not known <= given.keys() or given.keys() - known - {names[0]}:
                    return None
        if not all(_is(getter(given), value) for getter, value in fixed):
            return None
        return [getter(given) for getter in getters]

    return made


def _adapted(function: Callable[..., Any], target: KernelTarget) -> Made:
    """Has an adapter make inputs and constants."""
    adapter = adapter_of(target.target, function)
    if adapter is None or adapter.remembers or target.inputs is None:
        raise RequestError(
            f"No adapter makes inputs of a call of {target.target} by its arguments alone",
            remedy="Call `apply` in the program with `inputs` of your own.",
        )
    return _by_adapter(adapter, list(target.inputs), target.constants)


def _by_adapter(adapter: Adapter, names: Sequence[str], constants: Mapping[str, Any]) -> Made:
    remembered = RememberedCalls()
    fixed = {name: _known(value) for name, value in constants.items()}

    def made(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Any] | None:
        found = adapter.made(remembered, args, kwargs)
        if found is None or len(found) != len(names) + len(fixed):
            return None
        if not all(name in found and _is(found[name], value) for name, value in fixed.items()):
            return None
        return [found[name] for name in names] if all(name in found for name in names) else None

    return made


def _known(value: Any) -> Any:
    """A constant as a program has it, of how a file has it."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and value.startswith("torch."):
        return getattr(torch, value.removeprefix("torch."), value)
    return value


def _is(value: Any, known: Any) -> bool:
    """Whether a call has the value of a constant."""
    found = tuple(value) if isinstance(value, list) else value
    return type(found) is type(known) and found == known


def _getter(said: str, places: Sequence[str] | None) -> Callable[[Any], Any]:
    """What takes an input out of a call's arguments: by their places, or else by their names."""
    name, _, path = said.partition(".")
    if places is not None and name not in places:
        raise RequestError(
            f"No parameter is named {name!r}: there are {', '.join(places)}",
            remedy="Say for each input which parameter it is, as 'x' or 'self.weight'.",
        )
    # Written out, for torch does not trace what `operator` has for this.
    key = name if places is None else places.index(name)
    attributes = path.split(".") if path else []

    def taken(given: Any) -> Any:
        found = given[key]
        for attribute in attributes:
            found = getattr(found, attribute)
        return found

    return taken
