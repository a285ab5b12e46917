"""Torch's own copying and zeroing, out of reach of what candidate code left switched on.

The snapshot of a call, the marker that ends it and the flush before it are the harness's, yet they
run in the candidate's process: a dispatch mode left active, an autograd context that was patched or
a copy of its own in torch's dispatcher would put candidate code inside them, and with it work that
no clock sees. Modes are disabled here for the length of one call; everything used was bound before
candidate code was imported, and is C, which cannot be patched from Python. What was registered with
the dispatcher cannot be taken back, but it shows.

It cannot keep native code from rewriting this process; the judge bounds what that could win.
"""

from __future__ import annotations

from typing import Any

import torch

_copy = torch.Tensor.copy_
_fill = torch.Tensor.fill_
_zero = torch.Tensor.zero_
_grad_is_on = torch.is_grad_enabled
_turn_grad = torch._C._set_grad_enabled
_NoFunctionModes = torch._C.DisableTorchFunction
_NoDispatchModes = torch._C._DisableTorchDispatch
_registered = torch._C._dispatch_dump
_OPERATIONS = ("aten::copy_", "aten::fill_.Scalar", "aten::zero_")
_AT_FIRST = {name: _registered(name) for name in _OPERATIONS}


def copy(target: torch.Tensor, value: Any) -> None:
    """Copies a tensor, or fills with a number."""
    _plainly(_copy if isinstance(value, torch.Tensor) else _fill, target, value)


def zero(target: torch.Tensor) -> None:
    """Fills with zeros."""
    _plainly(_zero, target)


def replaced() -> list[str]:
    """Those of torch's operations above that are no longer torch's own."""
    return [name for name in _OPERATIONS if _registered(name) != _AT_FIRST[name]]


def _plainly(operation: Any, *arguments: Any) -> None:
    was_on = _grad_is_on()
    _turn_grad(False)
    try:
        with _NoFunctionModes():
            no_modes = _NoDispatchModes()
            operation(*arguments)
            del no_modes
    finally:
        _turn_grad(was_on)
