"""How far tensors are from those that another run or another kernel gave."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ..verified_runs import OutputDrift

MOST_BYTES = 256 << 20
"""Of outputs that are kept of one run."""
PART = 1 << 24
"""Elements that are compared at once."""


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
            share, most = _relative(one, other)
            relative = None if relative is None or share is None else max(relative, share)
            largest = max(largest, most)
            if one.is_floating_point() and one.dim() and one.shape[-1] > 1 and one.numel():
                rows = _same_largest(one, other)
                agreement = rows if agreement is None else min(agreement, rows)
    name = str(narrowest).removeprefix("torch.") if narrowest else ""
    return OutputDrift(relative, largest, agreement, name, len(expected))


def _relative(one: torch.Tensor, other: torch.Tensor) -> tuple[float | None, float]:
    """|a - b| / |a| and the largest difference, where both are finite at the same places.

    By parts, where the first one lies: whole copies in double precision may not fit there, and on
    the host they take seconds.
    """
    size = off = most = 0.0
    first, second = (tensor.detach().reshape(-1) for tensor in (one, other))
    for begin in range(0, one.numel(), PART):
        a, b = (flat[begin : begin + PART].to(one.device).double() for flat in (first, second))
        finite = torch.isfinite(a)
        odd, others = (t.masked_fill(finite, 0.0).nan_to_num(nan=1.0) for t in (a, b))
        if not torch.equal(finite, torch.isfinite(b)) or not torch.equal(odd, others):
            return None, math.inf
        a, b = a[finite], b[finite]
        if a.numel():
            difference = (a - b).abs()
            size, off = math.hypot(size, a.norm().item()), math.hypot(off, difference.norm().item())
            most = max(most, difference.max().item())
    return (off / size if size else float(off > 0)), most


def _same_largest(one: torch.Tensor, other: torch.Tensor) -> float:
    """Share of rows whose largest element is the same one; of several alike any."""
    a, b = (t.detach().to(one.device) for t in (one, other))
    if a.dtype.itemsize < 4:
        a, b = a.float(), b.float()
    place = a.argmax(-1, keepdim=True)
    same = (b.gather(-1, place) == b.amax(-1, keepdim=True)) | (place == b.argmax(-1, keepdim=True))
    return same.double().mean().item()
