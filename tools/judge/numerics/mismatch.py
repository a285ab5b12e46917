"""What does not agree, told so that its reader can act: the worst element, how many, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..clusters import describe

BIT_VIEW = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By element size, the integer type whose bits are compared."""


@dataclass(frozen=True)
class Mismatch:
    """Why an output does not agree: kind, words and the worst element."""

    kind: str
    message: str
    remedy: str
    index: list[int] | None = None
    expected: float | str | None = None
    got: float | str | None = None
    mismatched: int | None = None
    total: int | None = None
    cluster: str | None = None


def mismatch_of(
    name: str,
    words: tuple[str, str, str],
    got: torch.Tensor,
    expected: torch.Tensor,
    bad: torch.Tensor,
    poison: int | None,
    axis_names: Sequence[str],
) -> Mismatch:
    kind, detail, remedy = words
    unwritten = bad & _still_poison(got, poison)
    count, total = int(bad.sum()), got.numel()
    if 2 * int(unwritten.sum()) >= count:
        kind, bad, count = "unwritten_output", unwritten, int(unwritten.sum())
        detail = f"{count} of {total} elements still hold what the buffer was filled with"
        remedy = "Write every element of every output: check masks, grid size and early returns."
    index = _worst_index(got, expected, bad)
    where = tuple(index)
    cluster = describe(bad, axis_names)
    reference, value = _word(expected[where]), _word(got[where])
    message = (
        f"Output {name!r}: {detail}. {count} of {total} elements differ ({cluster}); worst at "
        f"{index}: expected {_shown(reference)}, got {_shown(value)}."
    )
    if kind == "unwritten_output":
        message = f"Output {name!r}: {detail} ({cluster}); first at {index}."
        value = "never written"
    return Mismatch(kind, message, remedy, index, reference, value, count, total, cluster)


def _worst_index(got: torch.Tensor, expected: torch.Tensor, bad: torch.Tensor) -> list[int]:
    if got.dtype.is_floating_point:
        distance = (got.double() - expected.double()).abs()
        distance = torch.where(torch.isfinite(distance), distance, torch.inf)
    else:
        distance = torch.ones_like(bad, dtype=torch.float64)
    flat = int(torch.where(bad, distance, torch.full_like(distance, -1.0)).flatten().argmax())
    return [int(i) for i in torch.unravel_index(torch.tensor(flat), got.shape)]


def _still_poison(got: torch.Tensor, poison: int | None) -> torch.Tensor:
    if poison is None:
        return torch.zeros(got.shape, dtype=torch.bool, device=got.device)
    bits = 8 * got.element_size()
    signed = poison if got.element_size() == 1 or poison < 1 << (bits - 1) else poison - (1 << bits)
    return got.contiguous().view(BIT_VIEW[got.element_size()]).reshape(got.shape) == signed


def _word(element: torch.Tensor) -> float | str:
    value = element.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return float(value)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def shape_mismatch(name: str, got: torch.Tensor, expected: torch.Tensor) -> Mismatch:
    return Mismatch(
        kind="wrong_shape",
        message=f"Output {name!r} has shape {list(got.shape)}; {list(expected.shape)} is due.",
        remedy="Give every output exactly the definition's shape.",
    )
