"""Where a program keeps what is to be recorded, and how a recorder is put there.

A target is named as "package.module.function", "package.module.Class.method", as a class of torch's
modules, whose forward is meant, as "torch.ops.namespace.operator", or is a kernel of Triton's.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from ...applying.replaced_attribute import attribute_owner, replace_attribute
from ...errors import RequestError
from .traced_function import TracedFunction

OPERATORS = "torch.ops."
REMEDY = (
    "Name it as 'package.module.function', 'package.module.Class.method', a class of torch's "
    "modules, or 'torch.ops.namespace.operator'."
)


@dataclass(frozen=True)
class TargetPlace:
    """Something that can be recorded, where it lies.

    Attributes:
        name: dotted, for people and files.
        owner: a module, class or object that has it.
        attribute: its name there.
        module: of torch's, whose bound forward it is; None for all else.
    """

    name: str
    owner: Any
    attribute: str
    module: torch.nn.Module | None = None

    @property
    def original(self) -> Any:
        """What lies there now."""
        return getattr(self.owner, self.attribute)

    def names(self) -> tuple[str, ...] | None:
        """Names of the arguments of a kernel of Triton's; None for what has a signature."""
        return tuple(self.original.arg_names) if _is_kernel(self.original) else None

    def put(self, recorder: TracedFunction) -> Callable[[], None]:
        """Puts a recorder in its place, and gives back what undoes that.

        A function of a module is replaced in the program's other modules, too, which imported it.
        """
        original = recorder.original
        stands: Any
        if _is_kernel(original):
            stands = TracedKernel(original, recorder)
        elif self.name.startswith(OPERATORS) and hasattr(original, "overloads"):
            stands = TracedOperator(original, recorder.wrapper())
        else:
            stands = recorder.wrapper()
        undo = contextlib.ExitStack()
        undo.callback(replace_attribute(self.owner, self.attribute, stands))
        if isinstance(self.owner, ModuleType):
            for owner, name in _imported(original):
                if owner is not self.owner:
                    undo.callback(replace_attribute(owner, name, stands))
        return undo.close


class TracedKernel:
    """Stands for a kernel of Triton's: its launches are recorded, all else is the kernel's."""

    def __init__(self, kernel: Any, recorder: TracedFunction) -> None:
        self.kernel = kernel
        self.recorder = recorder

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        return functools.partial(self.recorder.call, self.kernel[grid])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kernel, name)


class TracedOperator:
    """Stands for an operator of torch's: its calls are recorded, overloads are its own."""

    def __init__(self, operator: Any, wrapper: Callable[..., Any]) -> None:
        self.operator = operator
        self.wrapper = wrapper

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.wrapper(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.operator, name)


def place_of(target: str | torch.nn.Module) -> TargetPlace:
    """Finds a target.

    Raises:
        RequestError: when nothing is there that can be recorded.
    """
    if isinstance(target, torch.nn.Module):
        kind = type(target)
        name = f"{kind.__module__}.{kind.__qualname__}.forward"
        return TargetPlace(name, target, "forward", target)
    owner, attribute = _target_owner(target)
    if owner is sys.modules["__main__"] and not hasattr(owner, attribute):
        raise RequestError(
            f"{target!r} is of the file that is started, and not there before it is",
            remedy="Move the function into a module that the file imports, and name it there.",
        )
    found = getattr(owner, attribute, None)
    if inspect.isclass(found) and issubclass(found, torch.nn.Module):
        return TargetPlace(f"{target}.forward", found, "forward")
    static = inspect.getattr_static(owner, attribute, None)
    if isinstance(static, staticmethod | classmethod) or inspect.isclass(found):
        found = None
    if is_lazy(found):
        raise RequestError(
            f"{target!r} cannot be recorded: it is a coroutine or a generator, whose call computes "
            "nothing yet",
            remedy="Name the functions that it calls.",
        )
    if not callable(found) and not _is_kernel(found):
        raise RequestError(f"{target!r} names no function", remedy=REMEDY)
    return TargetPlace(target, owner, attribute)


def places_of(targets: Sequence[str | torch.nn.Module]) -> list[TargetPlace]:
    """Finds targets, each once: what is named twice would be written twice, too."""
    found = {(id(place.owner), place.attribute): place for place in map(place_of, targets)}
    return list(found.values())


def put_remembering(
    place: TargetPlace, recorder: TracedFunction, stack: contextlib.ExitStack
) -> None:
    """Has the calls of the methods remembered that a recorder's adapter needs."""
    for method in recorder.adapter.remembers if recorder.adapter else ():
        wrapper = recorder.remembered.wrapper(method, getattr(place.owner, method))
        stack.callback(replace_attribute(place.owner, method, wrapper))


def is_lazy(function: Any) -> bool:
    """Whether a call of a function computes nothing yet, and whoever calls it asks for that."""
    kinds = (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    )
    return any(kind(inspect.unwrap(function)) for kind in kinds) if callable(function) else False


def _target_owner(target: str) -> tuple[Any, str]:
    """What holds a target, and the target's name in it."""
    if target.startswith(OPERATORS):
        owner: Any = torch.ops
        *parts, last = target.removeprefix(OPERATORS).split(".")
        for part in parts:
            owner = getattr(owner, part, None)
        return owner, last
    try:
        owner, last = attribute_owner(target)
    except (ImportError, ValueError) as error:
        raise RequestError(f"{target!r} cannot be recorded: {error}", remedy=REMEDY) from error
    if owner is None:
        raise RequestError(f"{target!r} cannot be recorded: it is not there", remedy=REMEDY)
    return owner, last


def _is_kernel(found: Any) -> bool:
    """Whether something is launched on a grid; asked without importing Triton."""
    triton = sys.modules.get("triton.runtime.jit")
    return triton is not None and isinstance(found, triton.KernelInterface)


def _imported(original: Any) -> list[tuple[ModuleType, str]]:
    """Where else the program's modules have a function under a name; torch's own stay."""
    found: list[tuple[ModuleType, str]] = []
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name.partition(".")[0] not in ("torch", "triton"):
            pairs = list(vars(module).items())
            found += [(module, key) for key, value in pairs if value is original]
    return found
