"""Finds the steps of a program while it runs: what it does again and again.

A step is a call of the outermost module, the first that the program calls, or of a function that
is named. Their time is what shares are of; imports, loading and warming up are left out.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from ..errors import RequestError


class StepListener(Protocol):
    """Is called at both ends of every step."""

    def begin(self, root: torch.nn.Module | None) -> None:
        """A step begins; `root` is the module whose call it is."""
        ...

    def end(self, result: Any) -> None:
        """It ended; the result is None too where it raised an exception."""
        ...


def watch_steps(named: str | None, listener: StepListener) -> None:
    """Has a listener called at every step that this process makes from now on.

    Args:
        named: "package.module.function" or "package.module.Class.method"; None for the outermost
            module that is called first.

    Raises:
        RequestError: when the function is not there.
    """
    if named is None:
        _watch_outermost(listener)
    else:
        owner, name = _step_owner(named)
        setattr(owner, name, _watched(getattr(owner, name), listener))


def _step_owner(named: str) -> tuple[Any, str]:
    """The module or class that holds the function whose calls are steps, and its name there."""
    place, _, name = named.rpartition(".")
    try:
        owner = pkgutil.resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            f"The step {named!r} is not there: {error}",
            remedy="Name a function of a module that the program imports, as 'package.module.f'.",
        ) from error
    if place == "__main__" or not callable(getattr(owner, name, None)):
        raise RequestError(
            f"The step {named!r} is no function",
            remedy="Name a function of a module that the program imports, as 'package.module.f'.",
        )
    return owner, name


def _watched(original: Callable[..., Any], listener: StepListener) -> Callable[..., Any]:
    depth = 0

    @functools.wraps(original)
    def step(*args: Any, **kwargs: Any) -> Any:
        nonlocal depth
        if depth:
            return original(*args, **kwargs)
        depth, result = 1, None
        listener.begin(next((a for a in args if isinstance(a, torch.nn.Module)), None))
        try:
            result = original(*args, **kwargs)
            return result
        finally:
            depth = 0
            listener.end(result)

    return step


def _watch_outermost(listener: StepListener) -> None:
    """Waits for the first call of a module, and watches that module's calls alone from there on."""

    def found(module: torch.nn.Module, args: Any) -> None:
        handle.remove()
        module.register_forward_pre_hook(lambda root, args: listener.begin(root))
        module.register_forward_hook(lambda root, args, out: listener.end(out), always_call=True)
        listener.begin(module)

    # Hooks of one module cost its calls alone; those of all modules would slow every layer.
    handle = register_module_forward_pre_hook(found)
