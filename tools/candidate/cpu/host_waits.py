"""Sees, without a GPU, where host code would wait for a device.

It sees what torch's Python functions do in the thread of the call; a library that asks the driver
itself is not seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .fake_device import FakeEvent, FakeStream
from .fake_memory import Memory, memory_of, name_of

READS = ("item", "tolist", "cpu", "__bool__", "__int__", "__float__", "__index__", "equal")
SIZED_BY_VALUES = ("nonzero", "masked_select", "unique", "_unique2", "unique_consecutive")
"""Their outputs' sizes depend on values, which the host has to know."""
MOVES = ("to", "copy_", "type", "float", "double", "half")
"""They wait when what comes from a device comes to lie in the host's memory."""
MOST_WAITS = 20


class HostWaits(TorchFunctionMode):
    """Keeps the names of the calls in which the host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Makes the call, and notes it where it would wait."""
        result = func(*args, **(kwargs or {}))
        name = name_of(func)
        if name in (*READS, *SIZED_BY_VALUES):
            if _on_device(args[:1]):
                self.note(name)
        elif name in MOVES and not _on_device([result]):
            source = args[1:2] if name == "copy_" else args[:1]
            if _on_device(source):
                self.note(name)
        return result

    def note(self, name: str) -> None:
        """Adds a call, once."""
        if name not in self.names and len(self.names) < MOST_WAITS:
            self.names.append(name)


def _on_device(values: Sequence[Any]) -> bool:
    """Whether the value is a tensor that lies on a device, or would."""
    return any(
        isinstance(value, torch.Tensor) and memory_of(value) is Memory.DEVICE for value in values
    )


@contextlib.contextmanager
def noted_waits() -> Iterator[HostWaits]:
    """Keeps what would wait meanwhile, asked of tensors, streams, events or the device."""
    waits = HostWaits()
    places: list[tuple[Any, str]] = [
        (torch.cuda, "synchronize"),
        (torch.accelerator, "synchronize"),
        (FakeStream, "synchronize"),
        (FakeEvent, "synchronize"),
    ]
    before = [getattr(owner, name) for owner, name in places]

    def noting(wait: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            waits.note("synchronize")
            return wait(*arguments, **options)

        return noted

    for (owner, name), wait in zip(places, before, strict=True):
        setattr(owner, name, noting(wait))
    try:
        with waits:
            yield waits
    finally:
        for (owner, name), wait in zip(places, before, strict=True):
            setattr(owner, name, wait)
