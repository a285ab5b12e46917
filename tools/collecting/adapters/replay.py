"""What an adapter's reference gives on recorded calls, beside what the calls gave.

    with compared_calls(ADAPTER) as calls:
        my_program()
    for call in calls:
        torch.testing.assert_close(call.expected, call.got)

This is how an adapter is tested: on the calls that a program really makes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..recording.call_groups import ByteLimit
from ..recording.targets import place_of, put_remembering
from ..recording.traced_function import TracedFunction
from .adapter import Adapter


@dataclass(frozen=True)
class ComparedCall:
    """One call that an adapter takes.

    Attributes:
        inputs: as the adapter makes them, copied before the call.
        expected: the reference's output on them.
        got: the call's output.
    """

    inputs: dict[str, Any]
    expected: Any
    got: Any


def reference_function(adapter: Adapter) -> Callable[..., Any]:
    """The function `compute` of an adapter's reference."""
    scope: dict[str, Any] = {"torch": torch}
    exec(compile(adapter.reference, f"<reference of {adapter.target}>", "exec"), scope)
    return scope["compute"]


@contextlib.contextmanager
def compared_calls(adapter: Adapter) -> Iterator[list[ComparedCall]]:
    """Has the calls of an adapter's target compared until it is left.

    Yields:
        The calls that the adapter takes; calls that it leaves are made and are not there.
    """
    place, compute = place_of(adapter.target), reference_function(adapter)
    original = place.original
    recorder = TracedFunction(adapter.target, original, ByteLimit(0), adapter=adapter)
    calls: list[ComparedCall] = []

    def compared(*args: Any, **kwargs: Any) -> Any:
        made = adapter.made(recorder.remembered, args, kwargs)
        if made is None:
            return original(*args, **kwargs)
        inputs = {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in made.items()}
        result = original(*args, **kwargs)
        with torch.no_grad():
            calls.append(ComparedCall(inputs, compute(**inputs), adapter.outputs(result)))
        return result

    with contextlib.ExitStack() as stack:
        setattr(place.owner, place.attribute, compared)
        stack.callback(setattr, place.owner, place.attribute, original)
        put_remembering(place, recorder, stack)
        yield calls
