"""What a module's forward reads besides its arguments: parameters, buffers and plain attributes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch


def state_of(
    module: torch.nn.Module, forward: Callable[..., Any], taken: set[str]
) -> dict[str, Any]:
    """Parameters and buffers of a module by name, None among them, and what forward names of it.

    Args:
        forward: whose code tells which plain attributes are read.
        taken: names of arguments, under which nothing of the module can go.
    """
    code = getattr(inspect.unwrap(getattr(forward, "__func__", forward)), "__code__", None)
    named = set(code.co_names) if code else set[str]()
    tensors = [*module.named_parameters(), *module.named_buffers()]
    found: dict[str, Any] = {name.replace(".", "_"): value for name, value in tensors}
    for name in sorted(named - found.keys()):
        value = getattr(module, name, taken)
        if value is None or isinstance(value, bool | int | float | str | torch.dtype):
            found[name] = value
        elif isinstance(value, tuple | list) and all(isinstance(v, int | float) for v in value):
            found[name] = tuple(value)
    return {name: value for name, value in found.items() if name not in taken}
