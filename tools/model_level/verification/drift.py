"""How far tensors are from those that another run or another kernel gave."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from .verified_runs import OutputDrift

MOST_BYTES = 256 << 20
"""Of outputs that are kept of one run."""


def tensors_in(result: Any) -> Iterator[torch.Tensor]:
    """Tensors of a result, within tuples, dicts and objects too, in order."""
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, Mapping):
        for value in result.values():
            yield from tensors_in(value)
    elif isinstance(result, Sequence) and not isinstance(result, str | bytes):
        for value in result:
            yield from tensors_in(value)
    elif hasattr(result, "__dict__") and not isinstance(result, torch.nn.Module | type):
        for value in vars(result).values():
            yield from tensors_in(value)


def drift_of(expected: Sequence[torch.Tensor], got: Sequence[torch.Tensor]) -> OutputDrift:
    """The drift of outputs from others, worst over all of them."""
    relative: float | None = 0.0
    largest, agreement = 0.0, None
    floating = [t.dtype for t in expected if t.is_floating_point()]
    narrowest = min(floating, key=lambda dtype: dtype.itemsize, default=None)
    if [t.shape for t in expected] != [t.shape for t in got]:
        relative, largest = None, math.inf
    else:
        for one, other in zip(expected, got, strict=True):
            a, b = one.detach().cpu().double(), other.detach().cpu().double()
            share, most = _relative(a, b)
            relative = None if relative is None or share is None else max(relative, share)
            largest = max(largest, most)
            if one.is_floating_point() and one.dim() and one.shape[-1] > 1 and one.numel():
                same = (a.argmax(-1) == b.argmax(-1)).double().mean().item()
                agreement = same if agreement is None else min(agreement, same)
    name = str(narrowest).removeprefix("torch.") if narrowest else ""
    return OutputDrift(relative, largest, agreement, name, len(expected))


def _relative(a: torch.Tensor, b: torch.Tensor) -> tuple[float | None, float]:
    """|a - b| / |a| and the largest difference, where both are finite at the same places."""
    finite = torch.isfinite(a)
    if not torch.equal(finite, torch.isfinite(b)) or not torch.equal(
        a[~finite].isnan(), b[~finite].isnan()
    ):
        return None, math.inf
    a, b = a[finite], b[finite]
    if not a.numel():
        return 0.0, 0.0
    difference = (a - b).abs()
    size, off = a.norm().item(), difference.norm().item()
    return (off / size if size else float(off > 0)), difference.max().item()
