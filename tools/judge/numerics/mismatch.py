"""Describes mismatches: worst element, count, location."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .element_sample import coordinates, wrong_along
from .symptoms import recognise

BIT_VIEW = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By element size, the integer type for comparing bits."""


@dataclass(frozen=True)
class Mismatch:
    """A wrong output: kind, message, remedy, the worst element and where mismatches lie."""

    kind: str
    message: str
    remedy: str
    index: list[int] | None = None
    expected: float | str | None = None
    got: float | str | None = None
    mismatched: int | None = None
    total: int | None = None
    pattern: str | None = None


def mismatch_of(
    name: str,
    words: tuple[str, str, str],
    got: torch.Tensor,
    expected: torch.Tensor,
    bad: torch.Tensor,
    poison: int | None,
    axis_names: Sequence[str],
    constants: Mapping[str, float] | None = None,
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
    pattern = describe_mask(bad, axis_names)
    reference, value = _word(expected[where]), _word(got[where])
    message = (
        f"Output {name!r}: {detail}. {count} of {total} elements differ ({pattern}); worst at "
        f"{index}: expected {_shown(reference)}, got {_shown(value)}."
    )
    if kind == "unwritten_output":
        message = f"Output {name!r}: {detail} ({pattern}); first at {index}."
        value = "never written"
    elif (symptom := recognise(got, expected, bad, axis_names, constants)) is not None:
        if pattern.startswith(EVERYWHERE):
            message, pattern = message.replace(f" ({pattern})", ""), symptom.words
        message += f" Pattern: {symptom.words}."
        remedy = symptom.remedy
    return Mismatch(kind, message, remedy, index, reference, value, count, total, pattern)


def _worst_index(got: torch.Tensor, expected: torch.Tensor, bad: torch.Tensor) -> list[int]:
    if got.dtype.is_floating_point:
        distance = (got.double() - expected.double()).abs()
        distance = torch.where(torch.isfinite(distance), distance, torch.inf)
    else:
        distance = torch.ones_like(bad, dtype=torch.float64)
    flat = int(torch.where(bad, distance, torch.full_like(distance, -1.0)).flatten().argmax())
    return [int(i) for i in coordinates(torch.tensor(flat), got.shape)]


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


EVERYWHERE = "scattered over the whole output"
DENSE = 0.6
"""Least share of mismatches within the mismatched indices of all axes to be called "all of"."""


def describe_mask(mask: torch.Tensor, axis_names: Sequence[str] = ()) -> str:
    """Describes where `mask` is true.

    Args:
        mask: bool, any shape; the mismatches of one output.
        axis_names: a name for each axis; numbered where missing.

    Returns:
        A short phrase, e.g. "all of batch_size 3, last 16 of head_dim (112-127)"; empty when
        nothing mismatches.
    """
    count = int(mask.sum())
    if count == 0:
        return ""
    if mask.dim() == 0 or count == mask.numel():
        return "every element"
    names = [axis_names[d] if d < len(axis_names) else f"axis {d}" for d in range(mask.dim())]
    hits = [_hit(mask, d) for d in range(mask.dim())]
    parts = [
        f"{_ranges(hit, size)} of {name}" if _is_tail(hit, size) else f"{name} {_ranges(hit, size)}"
        for name, hit, size in zip(names, hits, mask.shape, strict=True)
        if len(hit) < size
    ]
    product = math.prod(len(hit) for hit in hits)
    density = count / product
    if count == 1:
        return "one element"
    if not parts:
        return f"{EVERYWHERE} ({_percent(count / mask.numel())} of it)"
    lead = "all of " if density >= DENSE else f"scattered ({_percent(density)}) within "
    return lead + ", ".join(parts)


def _hit(mask: torch.Tensor, axis: int) -> list[int]:
    """Indices of `axis` at which anything mismatches."""
    return wrong_along(mask, axis).nonzero().flatten().tolist()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _is_tail(hit: Sequence[int], size: int) -> bool:
    return 1 < len(hit) and hit[-1] == size - 1 and hit[-1] - hit[0] + 1 == len(hit)


def _ranges(hit: Sequence[int], size: int) -> str:
    first, last = hit[0], hit[-1]
    if len(hit) == 1:
        return f"{first}" if first != size - 1 else f"{first} (the last)"
    if last - first + 1 == len(hit):
        return f"last {len(hit)} ({first}-{last})" if last == size - 1 else f"{first}-{last}"
    steps = {b - a for a, b in zip(hit, hit[1:], strict=False)}
    if len(steps) == 1 and len(hit) > 2:
        return f"{first}, {hit[1]}, … {last} (every {steps.pop()}th)"
    runs = _runs(hit)
    if len(runs) <= 4:
        return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)
    return f"{len(hit)} of {size} indices between {first} and {last}"


def _runs(hit: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index in hit:
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs
