"""What a function returns, as outputs of an operator: tensors, and None between them."""

from __future__ import annotations

from typing import Any

import torch


def returned_tensors(result: Any) -> tuple[torch.Tensor, ...] | None:
    """The tensors of a result; None where it is none, or holds more than tensors and None."""
    several = result if isinstance(result, tuple | list) else (result,)
    tensors = tuple(value for value in several if isinstance(value, torch.Tensor))
    others = (value for value in several if not isinstance(value, torch.Tensor))
    return tensors if tensors and all(value is None for value in others) else None


def returned_places(result: Any) -> tuple[int | None, ...] | None:
    """Of each part of a row with None in it which tensor it is; None for a result without."""
    if not isinstance(result, tuple | list) or not any(value is None for value in result):
        return None
    count = iter(range(len(result)))
    return tuple(None if value is None else next(count) for value in result)
