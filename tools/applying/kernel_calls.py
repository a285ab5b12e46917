"""The calls of one kernel: where each goes, and how the kernel is called.

What is asked of every call is in `call_code`; here is what is asked once for each set of sizes,
and what happens where the answer is no.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .call_code import PLAIN, CallCode, dtype_of, kinds_of
from .missed_calls import MissedCalls, Shapes
from .proven_sizes import ALIGNMENT, Missed

MOST_SIZES = 65_536
"""Sizes whose decision is kept; then all are forgotten and decided again."""
KINDS = {bool: "bool", int: "int", float: "float"}
"""Of numbers, as a schema of torch's names them."""
_numbers = itertools.count()


class KernelCalls:
    """Decides where calls go, and makes those that go to the kernel."""

    def __init__(self, code: CallCode, function: Callable[..., Any]) -> None:
        self.kernel = code.kernel
        self.misses = MissedCalls(code.kernel)
        self.compiled_calls = 0
        self._code = code
        self._sizes = code.sizes
        self._function = function
        self._writing = code.writing(function)
        self._known: dict[Any, Callable[..., Any] | bool] = {}
        self._outputs = [
            (form.shape or (), dtype_of(form.dtype)) for form in code.kernel.outputs.values()
        ]

    def routed(
        self,
        original: Callable[..., Any],
        inputs: Callable[..., Any] | None,
        outputs: Callable[..., Any] | None,
    ) -> Callable[..., Any]:
        """The function that stands for the original."""
        names = {
            "original": original,
            "inputs": inputs,
            "outputs": outputs,
            "operator": self._operator(),
            "known": self._known,
            "decide": self._decide,
            "failed": self._failed,
            "missed": self._missed,
            "whole": self._whole,
        }
        made, _ = self._code.functions(names)
        functools.update_wrapper(made, original)
        return made

    def _decide(self, key: Any, values: Sequence[Any]) -> Callable[..., Any] | bool:
        """Whether sizes that were not called before are proven; the call of them if so."""
        if self._code.on_device and torch.cuda.is_current_stream_capturing():
            return False  # loading code may end a capture; not kept: later calls are as good
        axes = self._sizes.axes_of(_shapes(values))
        found = axes is not None and self._sizes.proven(axes) and self._bound(axes, values)
        if found and not self.kernel.destination_passing:
            found = self._first_call(key, found)
        if len(self._known) >= MOST_SIZES:
            self._known.clear()
        self._known[key] = found
        return found

    def _bound(self, axes: dict[str, int], values: Sequence[Any]) -> Callable[..., Any]:
        """The kernel for one set of sizes; what it returns by itself is not in one form yet."""
        if not self.kernel.destination_passing:
            return self._function
        sizes = {n: axes[n] if s is None else s for n, s in self.kernel.axes.items()}
        device = next((v.device for v in values if isinstance(v, torch.Tensor)), None)
        shapes = [[sizes[a] for a in form.shape or ()] for form in self.kernel.outputs.values()]
        return self._writing(*shapes, device)

    def _first_call(self, key: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        """The first call on some sizes: whether later ones copy what is returned shows there."""

        def copying(*values: Any) -> Any:
            return _own(function(*values), values)

        def call(*values: Any) -> Any:
            result = function(*values)
            own = _own(result, values)
            self._known[key] = function if own is result else copying
            return own

        return call

    def _whole(self, result: Any) -> Any:
        """What the operator returns, of what a kernel returned."""
        if isinstance(result, dict):
            result = [result[name] for name in self.kernel.outputs]
        if len(self._outputs) > 1:
            return tuple(result)
        return result if isinstance(result, torch.Tensor) else result[0]

    def _failed(self, key: Any, values: Sequence[Any], error: Exception) -> None:
        """Notes a kernel's exception: those sizes go to the original from now on."""
        self._known[key] = False
        shapes = _shapes(values)
        self.misses.add(Missed.FAILED, shapes, self._sizes.axes_of(shapes), values)
        warnings.warn(
            f"The kernel of {self.kernel.definition} failed, and the original is called on these "
            f"sizes from now on: {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=3,
        )

    def _missed(self, values: Sequence[Any]) -> None:
        """Counts a call that goes to the original, with the reason."""
        reason, shapes = self._reason(values), _shapes(values)
        of_it = reason in (Missed.SIZE, Missed.CAPTURE, Missed.FAILED)
        self.misses.add(reason, shapes, self._sizes.axes_of(shapes) if of_it else None, values)

    def _reason(self, values: Sequence[Any]) -> Missed:
        pairs = list(zip(values, self.kernel.inputs.values(), strict=True))
        if any(
            type(v) not in (kinds_of(form) if form.shape is None else PLAIN) for v, form in pairs
        ):
            return Missed.ARGUMENT
        typed = [(v, dtype_of(form.dtype)) for v, form in pairs if form.shape is not None]
        if any(tensor.dtype is not dtype for tensor, dtype in typed):
            return Missed.DTYPE
        tensors = [tensor for tensor, _ in typed]
        return self._placed(tensors) or self._sized(values)

    def _placed(self, tensors: Sequence[torch.Tensor]) -> Missed | None:
        """What is wrong with where and how tensors lie."""
        place = "cuda" if self._code.on_device else "cpu"
        if any(tensor.device.type != place for tensor in tensors):
            return Missed.DEVICE
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return Missed.GRADIENT
        if torch.is_autocast_enabled(place):
            return Missed.AUTOCAST
        try:
            if not all(tensor.is_contiguous() for tensor in tensors):
                return Missed.LAYOUT
            if any(tensor.data_ptr() % ALIGNMENT for tensor in tensors):
                return Missed.ALIGNMENT
        except RuntimeError:  # a transform's tensor, which has no memory of its own
            return Missed.ARGUMENT
        if self._code.several:
            here = torch.cuda.current_device()
            if any(tensor.get_device() != here for tensor in tensors):
                return Missed.DEVICE
        return None

    def _sized(self, values: Sequence[Any]) -> Missed:
        axes = self._sizes.axes_of(_shapes(values))
        if axes is None:
            return Missed.SHAPE
        if not self._sizes.proven(axes):
            return Missed.SIZE
        capturing = self._code.on_device and torch.cuda.is_current_stream_capturing()
        return Missed.CAPTURE if capturing else Missed.FAILED

    # --- while torch compiles ---

    def _operator(self) -> Any:
        """The kernel as an operator of torch's, of which a compiler knows shapes alone."""
        forms = self.kernel.inputs.values()
        kinds = ["Tensor" if form.shape is not None else KINDS[kinds_of(form)[0]] for form in forms]
        named = ", ".join(f"{kind} value_{number}" for number, kind in enumerate(kinds))
        count = len(self._outputs)
        given = "Tensor" if count == 1 else f"({', '.join(['Tensor'] * count)})"
        name = f"kernel_{self.kernel.content_hash[:16]}_{next(_numbers)}"
        operator: Any = torch.library.custom_op(
            f"kernel_harness_applied::{name}",
            self._traced_call,
            mutates_args=(),
            schema=f"({named}) -> {given}",
        )
        operator.register_fake(self._described)
        return operator

    def _traced_call(self, *values: Any) -> Any:
        """A call whose sizes were decided while it was compiled."""
        self.compiled_calls += 1
        plain = [_plain(value) for value in values]
        axes = self._sizes.axes_of(_shapes(plain))
        assert axes is not None
        result = self._bound(axes, plain)(*plain)
        return result if self.kernel.destination_passing else self._whole(_own(result, plain))

    def _described(self, *values: Any) -> Any:
        """Outputs without contents, for a compiler."""
        sizes: dict[str, Any] = {n: s for n, s in self.kernel.axes.items() if s is not None}
        for axis, (position, dimension) in self._sizes.places.items():
            sizes[axis] = values[position].shape[dimension]
        first = next(value for value in values if isinstance(value, torch.Tensor))
        made = [
            torch.empty([sizes[a] for a in shape], dtype=dtype, device=first.device)
            for shape, dtype in self._outputs
        ]
        return made[0] if len(made) == 1 else tuple(made)


def _shapes(values: Sequence[Any]) -> Shapes:
    return tuple(tuple(v.shape) if isinstance(v, torch.Tensor) else None for v in values)


def _own(result: Any, values: Sequence[Any]) -> Any:
    """What a kernel returned; where an argument's memory is among it, a copy of all, as was judged.

    The argument may be written to again, and a compiler takes no output that is an input.
    """
    one = isinstance(result, torch.Tensor)
    returned = [result] if one else list(result.values() if isinstance(result, dict) else result)
    lent = {v.untyped_storage().data_ptr() for v in values if isinstance(v, torch.Tensor)}
    if not any(_memory_of(each) in lent for each in returned):
        return result
    if isinstance(result, dict):
        return {name: _copied(value) for name, value in result.items()}
    return _copied(result) if one else [_copied(value) for value in result]


def _memory_of(value: Any) -> int | None:
    """Where a tensor's memory begins; None of a number and of no elements."""
    has_memory = isinstance(value, torch.Tensor) and value.numel()
    return value.untyped_storage().data_ptr() if has_memory else None


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _plain(value: Any) -> Any:
    """A tensor as the kernel is proven for it; a compiler may have laid it otherwise."""
    if not isinstance(value, torch.Tensor):
        return value
    if value.is_contiguous() and not value.data_ptr() % ALIGNMENT:
        return value
    return value.clone(memory_format=torch.contiguous_format)
