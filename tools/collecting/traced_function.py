"""Calls of one function: what they were given, grouped by shapes, counted and timed.

The function is called with what it was given and its result is handed on as it is. A fault of the
recorder's own is counted and changes nothing for the program. Integer tensors, whose contents are
the structure of a workload (page tables, lengths, indices), are kept of the first call of a group,
within a bound; of others only shape and type.
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

MOST_GROUPS = 512
"""Of one function; further ones are counted together and left out of the dataset."""

POSITION = "argument_"
"""Begins the names of arguments of functions that name none, before their positions."""


@dataclass(frozen=True)
class TensorSeen:
    """A tensor as a call had it."""

    shape: tuple[int, ...]
    dtype: str
    contiguous: bool


@dataclass
class CallGroup:
    """Calls alike in everything but contents.

    Attributes:
        tensors: by parameter.
        numbers: values of parameters that are ints or floats.
        constants: of those that are None, a bool or a string.
        outputs: what came back; None for what is no tensor or tuple of tensors.
        stored: contents of integer tensors of the first call.
        seconds: of the host, from call to return.
    """

    tensors: dict[str, TensorSeen]
    numbers: dict[str, int | float]
    constants: dict[str, Any]
    outputs: tuple[TensorSeen, ...] | None
    stored: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    count: int = 0
    seconds: float = 0.0


class TracedFunction:
    """Records the calls of one function; for any threads.

    Args:
        name: by which the program names it.
        original: that is called.
        most_bytes: of all tensors that are kept.
    """

    def __init__(self, name: str, original: Callable[..., Any], most_bytes: int) -> None:
        self.name = name
        self.original = original
        self.groups: dict[Any, CallGroup] = {}
        self.skipped: dict[str, int] = {}
        self._left_bytes = most_bytes
        self._lock = threading.Lock()
        try:
            self._signature: inspect.Signature | None = inspect.signature(original)
        except (TypeError, ValueError):
            self._signature = None

    def wrapper(self) -> Callable[..., Any]:
        """The function that stands for the original."""

        @functools.wraps(self.original)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return self.original(*args, **kwargs)
            group = self._guarded(self._entered, args, kwargs)
            begin = time.perf_counter()
            result = self.original(*args, **kwargs)
            seconds = time.perf_counter() - begin
            if group is not None:
                self._guarded(self._left, group, result, seconds)
            return result

        return recorded

    def _guarded(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return act(*arguments)
        except Exception as error:  # whatever arguments are like, the program goes on
            self._skip(f"not recorded: {type(error).__name__}")
            return None

    def _entered(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallGroup | None:
        """The group of a call that is about to be made, for it may change what it is given."""
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return self._skip("within a graph capture")
        arguments = self._named(args, kwargs)
        group = CallGroup({}, {}, {}, None)
        for name, value in arguments.items():
            if isinstance(value, torch.Tensor):
                group.tensors[name] = _seen(value)
            elif isinstance(value, bool | str | None):
                group.constants[name] = value
            elif isinstance(value, int | float):
                group.numbers[name] = value
            else:
                return self._skip(f"{name} is a {type(value).__name__}")
        key = repr((group.tensors, group.numbers, group.constants))
        with self._lock:
            known = self.groups.get(key)
            if known is None and len(self.groups) < MOST_GROUPS:
                known = self.groups[key] = group
        if known is None:
            return self._skip("too many shapes")
        if known is group:
            self._keep(group, arguments)
        return known

    def _left(self, group: CallGroup, result: Any, seconds: float) -> None:
        outputs = _outputs(result)
        with self._lock:
            group.outputs = outputs
            group.count += 1
            group.seconds += seconds

    def _named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by their parameters; those of functions written in C by their positions."""
        if self._signature is None:
            return {f"{POSITION}{number}": value for number, value in enumerate(args)} | dict(
                kwargs
            )
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _keep(self, group: CallGroup, arguments: Mapping[str, Any]) -> None:
        """Copies integer tensors to the host, while there is space for them."""
        for name, value in arguments.items():
            if not isinstance(value, torch.Tensor) or value.dtype.is_floating_point:
                continue
            with self._lock:
                if value.nbytes > self._left_bytes:
                    self.skipped["no space"] = self.skipped.get("no space", 0) + 1
                    continue
                self._left_bytes -= value.nbytes
            group.stored[name] = value.detach().to("cpu", copy=True).contiguous()

    def _skip(self, why: str) -> None:
        with self._lock:
            self.skipped[why] = self.skipped.get(why, 0) + 1


def _seen(value: torch.Tensor) -> TensorSeen:
    dtype = str(value.dtype).removeprefix("torch.")
    return TensorSeen(tuple(value.shape), dtype, value.is_contiguous())


def _outputs(result: Any) -> tuple[TensorSeen, ...] | None:
    several = result if isinstance(result, tuple | list) else (result,)
    if not several or not all(isinstance(value, torch.Tensor) for value in several):
        return None
    return tuple(_seen(value) for value in several)
