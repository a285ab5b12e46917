"""Samples of tensors that are not kept, and what their values are like.

Taking a sample is one copy where the tensor lies, and waits for no device; figures are computed
when recording has ended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch

from ...schema.drawn_inputs import ValueKind, ValueStatistics

ELEMENTS = 1 << 14
"""Of a tensor that are looked at, in whole rows where a row is not longer."""
SUM_OFF = 0.02
"""How far from one the sum of a row of probabilities may be, as halves round."""
FEWEST = 16
"""Values of which it can be said that there are but two kinds."""
FLAT, TAILED, SKEWED = 2.3, 4.5, 0.8
"""Fourth and third moments, in deviations; those of a normal distribution are 3 and 0."""
MEASURED = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
)


def sample_of(tensor: torch.Tensor) -> torch.Tensor | None:
    """Some rows of a tensor, evenly spread; None for one that has no values to look at."""
    if tensor.is_meta or not tensor.numel() or tensor.dtype not in MEASURED:
        return None
    part = tensor.detach()
    if not part.dim():
        return part.clone().view(1, 1)
    if part.shape[-1] > ELEMENTS:
        part = part[..., :: -(-part.shape[-1] // ELEMENTS) | 1]  # an odd step meets all residues
    while (rows := math.prod(part.shape[:-1])) > (most := max(1, ELEMENTS // part.shape[-1])):
        longest = max(range(part.dim() - 1), key=lambda dimension: part.shape[dimension])
        step = min(-(-rows // most), part.shape[longest])
        part = part[(slice(None),) * longest + (slice(None, None, step),)]
    return part.clone(memory_format=torch.contiguous_format).view(-1, part.shape[-1])


def two_valued(samples: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of floating-point tensors that have two values, as masks have: structure, not figures.

    This waits for the device, once for all.
    """
    names = [
        name
        for name, sample in samples.items()
        if sample.dtype.is_floating_point and sample.numel() >= FEWEST
    ]
    found: list[torch.Tensor] = []
    for name in names:
        values = samples[name].float()
        low, high = values.amin(), values.amax()
        found.append(((values == low) | (values == high)).all() & (low != high))
    if not found:
        return []
    said = torch.stack([one.to(found[0].device) for one in found]).tolist()
    return [name for name, is_mask in zip(names, said, strict=True) if is_mask]


def statistics_of(samples: Sequence[torch.Tensor]) -> ValueStatistics | None:
    """What the finite values of samples of one tensor are like; None where there are none."""
    if not samples:
        return None
    dtype = samples[0].dtype
    rows = [sample.cpu().double() for sample in samples]
    values = torch.cat([row.flatten() for row in rows])
    values = values[torch.isfinite(values)]
    if not values.numel():
        return None
    others = values[values != 0]
    zeros = _short(1 - others.numel() / values.numel())
    if not others.numel():
        zero = {"mean": 0.0, "deviation": 0.0, "least": 0.0, "greatest": 0.0}
        return ValueStatistics(kind=ValueKind.CONSTANT, zeros=1.0, **zero)
    mean, deviation = float(others.mean()), float(others.std(correction=0))
    return ValueStatistics(
        kind=_kind(dtype, rows, others, mean, deviation),
        mean=_short(mean),
        deviation=_short(deviation),
        least=float(others.min()),
        greatest=float(others.max()),
        zeros=zeros,
    )


def _kind(
    dtype: torch.dtype,
    rows: Iterable[torch.Tensor],
    others: torch.Tensor,
    mean: float,
    deviation: float,
) -> ValueKind:
    """How values that are not zero are spread, by their moments."""
    if not dtype.is_floating_point:
        return ValueKind.INTEGERS
    if deviation <= 1e-6 * abs(mean):
        return ValueKind.CONSTANT
    least = float(others.min())
    if least > 0 and all(_are_probabilities(row) for row in rows):
        return ValueKind.PROBABILITIES
    scaled = (others - mean) / deviation
    skew, fourth = float(scaled.pow(3).mean()), float(scaled.pow(4).mean())
    if abs(skew) > SKEWED and (least > 0 or float(others.max()) < 0):
        return ValueKind.LOG_NORMAL
    if fourth > TAILED:
        return ValueKind.HEAVY_TAILED
    return ValueKind.UNIFORM if fourth < FLAT and abs(skew) < SKEWED else ValueKind.NORMAL


def _are_probabilities(rows: torch.Tensor) -> bool:
    return rows.shape[-1] > 1 and bool(((rows.sum(-1) - 1).abs() <= SUM_OFF).all())


def _short(value: float) -> float:
    return float(f"{value:.6g}")
