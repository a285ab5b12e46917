"""The arguments of a function's calls by name, as quickly as they can be told."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

POSITION = "argument_"
"""Begins the names of arguments of functions that name none, before their positions."""
_KIND = inspect.Parameter


class CallArguments:
    """Names the arguments of calls of one function.

    Args:
        names: of the arguments, where the function has no signature.
    """

    def __init__(self, function: Callable[..., Any], names: tuple[str, ...] | None = None) -> None:
        self._names = names
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):
            self._signature = None
        several = list(self._signature.parameters.values()) if self._signature else []
        self._words = tuple(one.name for one in several if one.kind is _KIND.KEYWORD_ONLY)
        self._places = tuple(one.name for one in several if one.name not in self._words)
        open_ended = (_KIND.VAR_POSITIONAL, _KIND.VAR_KEYWORD)
        self._fixed = bool(several) and not any(one.kind in open_ended for one in several)

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by their parameters; those of functions written in C by their positions."""
        if self._names is not None:
            return dict(zip(self._names, args, strict=False)) | dict(kwargs)
        if self._fixed and len(args) == len(self._places) and len(kwargs) == len(self._words):
            # As what stands for a function hands them on: all of them, each in its place.
            found = dict(zip(self._places, args, strict=True))
            return found | {name: kwargs[name] for name in self._words}
        if self._signature is None:
            return _placed(args) | dict(kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is _KIND.VAR_POSITIONAL and found.pop(name):
                return _placed(args) | dict(kwargs)
            if parameter.kind is _KIND.VAR_KEYWORD:
                found |= found.pop(name)
        return found


def _placed(args: tuple[Any, ...]) -> dict[str, Any]:
    return {f"{POSITION}{number}": value for number, value in enumerate(args)}
