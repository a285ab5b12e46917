"""Copies and zeroes tensors by torch's own code, whatever candidate code left switched on.

The snapshot of a call, the marker that ends it and the flush before it are the harness's, yet they
run in the candidate's process: a dispatch mode left active, an autograd context that was patched or
a copy of its own in torch's dispatcher would put candidate code inside them, and with it work that
no clock sees. Modes are disabled here for the length of one call; everything used was bound before
candidate code was imported, and is C, which cannot be patched from Python. What was registered with
the dispatcher cannot be taken back, but it shows. The interpreter's own hooks, which would run
candidate code at the harness's next function call or allocation, are taken away with the return.

It cannot keep native code from rewriting this process; the judge bounds what that could win.
"""

from __future__ import annotations

import gc
import sys
from typing import Any, cast

import torch

_copy = torch.Tensor.copy_
_clone = torch.Tensor.clone
_fill = torch.Tensor.fill_
_zero = torch.Tensor.zero_
_grad_is_on = torch.is_grad_enabled
_turn_grad = torch._C._set_grad_enabled
_NoFunctionModes = torch._C.DisableTorchFunction
_NoDispatchModes = torch._C._DisableTorchDispatch
_registered = torch._C._dispatch_dump
_set_profile, _set_trace = sys.setprofile, sys.settrace
_monitoring: Any = getattr(sys, "monitoring", None)
_TOOLS = range(6)
collects = gc.isenabled
"""Whether Python collects garbage by itself."""
_collect, _collect_no_more = gc.enable, gc.disable
_OPERATIONS = ("aten::clone", "aten::copy_", "aten::fill_.Scalar", "aten::zero_")
_AT_FIRST = {name: _registered(name) for name in _OPERATIONS}


def copy(target: torch.Tensor, value: Any) -> None:
    """Copies a tensor, or fills with a number."""
    _without_modes(_copy if isinstance(value, torch.Tensor) else _fill, target, value)


def clone(value: torch.Tensor) -> torch.Tensor:
    """A copy of a tensor in memory of its own."""
    return cast("torch.Tensor", _without_modes(_clone, value))


def zero(target: torch.Tensor) -> None:
    """Fills a tensor with zeros, whatever modes of torch are on."""
    _without_modes(_zero, target)


def unhook() -> None:
    """Removes the interpreter's trace hooks, and stops its garbage collector until `rehook`.

    Hooks on single functions, which Python 3.12 knows too, stay.
    """
    _set_profile(None)
    _set_trace(None)
    _collect_no_more()
    if _monitoring is not None:
        _stop_monitoring()


def rehook(collecting: bool) -> None:
    """Starts the garbage collector again, if it ran before."""
    if collecting:
        _collect()


def _stop_monitoring() -> None:
    for tool in _TOOLS:
        # Events of a tool that gave its id back go on; only under an id can they be stopped.
        unused = _monitoring.get_tool(tool) is None
        if unused:
            _monitoring.use_tool_id(tool, "kernel-harness")
        _monitoring.set_events(tool, 0)
        if unused:
            _monitoring.free_tool_id(tool)


def replaced(*, on_device: bool) -> list[str]:
    """Names of the operations above that were overridden in torch's dispatcher.

    Args:
        on_device: whether tensors lie on a device; where not, what is registered for one, as by us
            for tensors that only say so, copies none of them.
    """
    return [
        name
        for name in _OPERATIONS
        if _rows(_registered(name), on_device) != _rows(_AT_FIRST[name], on_device)
    ]


def _rows(registered: str, on_device: bool) -> list[str]:
    return [
        row
        for row in registered.splitlines()
        if on_device or not row.startswith(("CUDA:", "CUDA "))
    ]


def _without_modes(operation: Any, *arguments: Any) -> Any:
    was_on = _grad_is_on()
    _turn_grad(False)
    try:
        with _NoFunctionModes():
            no_modes = _NoDispatchModes()
            result = operation(*arguments)
            del no_modes
        return result
    finally:
        _turn_grad(was_on)
