"""The adapters that come with the harness, by target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .adapter import Adapter
from .flashinfer_wrappers import FLASHINFER_ADAPTERS
from .torch_functions import TORCH_ADAPTERS
from .transformers_modules import TRANSFORMERS_ADAPTERS

ADAPTERS: tuple[Adapter, ...] = (*TORCH_ADAPTERS, *FLASHINFER_ADAPTERS, *TRANSFORMERS_ADAPTERS)


def adapter_of(target: str, original: Any, further: Sequence[Adapter] = ()) -> Adapter | None:
    """The adapter of a target; None where arguments are the inputs.

    Args:
        target: as the program names it.
        original: what lies there; a package may name it more briefly than where it is defined.
        further: asked before those that come with the harness.
    """
    module, name = (getattr(original, key, None) for key in ("__module__", "__qualname__"))
    for adapter in (*further, *ADAPTERS):
        if adapter.target in (target, f"{module}.{name}"):
            return adapter
    return None
