"""What an adapter is: how calls of a library's function become inputs of an operator.

    from kernel_harness.tools.collecting.adapters.adapter import Adapter

    def _inputs(x, weight, eps=1e-6, out=None):
        return {"x": x, "weight": weight, "eps": eps} if out is None else None

    NORM = Adapter("my_library.norm", _inputs, REFERENCE)

An adapter is needed where a call's arguments are not the operator's inputs: where a plan was made
before, where a module holds what it reads, or where the function has no code that can be carried.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class RememberedCalls:
    """Arguments of the last call of some methods, by object; they live as long as it."""

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[Any, dict[str, dict[str, Any]]] = (
            weakref.WeakKeyDictionary()
        )

    def wrapper(self, method: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """The method that stands for one whose arguments are remembered."""
        signature = inspect.signature(original)

        @functools.wraps(original)
        def remembering(owner: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(owner, *args, **kwargs)
            try:
                bound = signature.bind(owner, *args, **kwargs)
                bound.apply_defaults()
                found = dict(bound.arguments)
                for name, parameter in signature.parameters.items():
                    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                        found |= found.pop(name)
                del found[next(iter(found))]  # the owner, which would live as long as its key
                self._of.setdefault(owner, {})[method] = found
            except TypeError:  # an owner that cannot be a key; its calls are then not taken
                pass
            return result

        return remembering

    def of(self, owner: Any) -> Mapping[str, Mapping[str, Any]]:
        """Arguments by parameter, of each method."""
        return self._of.get(owner, {})


@dataclass(frozen=True)
class Adapter:
    """How calls of one function become inputs of an operator.

    Attributes:
        target: dotted name of the function or method.
        inputs: takes what the function takes, and gives the operator's inputs by name: tensors,
            numbers, and None, bools and strings, which are constants. None for a call that is not
            of this operator. With `remembers` its first argument is what is remembered, by method.
        reference: Python source of a function `compute`, which takes the inputs by those names.
        remembers: names of methods of the same class whose arguments `inputs` needs.
        outputs: makes the operator's output, or a tuple of them, of what the function returns.
    """

    target: str
    inputs: Callable[..., Mapping[str, Any] | None]
    reference: str
    remembers: tuple[str, ...] = ()
    outputs: Callable[[Any], Any] = lambda result: result

    def made(
        self, remembered: RememberedCalls, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The operator's inputs of a call's arguments."""
        if not self.remembers:
            return self.inputs(*args, **kwargs)
        return self.inputs(remembered.of(args[0]), *args, **kwargs)
