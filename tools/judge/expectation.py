"""The quick answer for an output that agrees: what is worked out once per draw, then a few passes.

Timed calls are all verified, so an honest candidate's wait is spent here. An output that agrees is
told so from five figures and one wait for the device; whatever is not plainly right is left to
`correctness.check_output`, which also says what is wrong with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..schema.evaluation import OutputError
from .correctness import (
    REL_EPSILON,
    ROW_FLOOR,
    Limits,
    bounds_of,
    norm_of,
    read_spread,
    row_bound_of,
    rows_of,
    spread_of,
)


@dataclass(frozen=True)
class Expectation:
    """One output of one draw: the oracle's values in single precision, and limits from them."""

    exact: torch.Tensor
    rows: torch.Tensor
    scale: float
    bounds: tuple[float, float]
    row_bound: float
    trusted_rms: float | None


def expectation(
    expected: torch.Tensor, trusted: torch.Tensor | None, limits: Limits, dtype: torch.dtype
) -> Expectation | None:
    """Prepares one output; None where the quick way does not apply.

    Args:
        expected: the oracle's output.
        trusted: the trusted implementation's.
        limits: how far apart outputs may be.
        dtype: the output's declared dtype.
    """
    if not dtype.is_floating_point or dtype == torch.float64 or not expected.numel():
        return None
    exact = expected.to(torch.float32)
    everywhere = torch.ones((), dtype=torch.bool, device=exact.device).expand(exact.shape)
    theirs = exact if trusted is None else trusted.to(torch.float32)
    figures = torch.cat(
        [spread_of(theirs, exact, everywhere), torch.isfinite(exact).all().double()[None]]
    )
    numbers: list[float] = figures.tolist()
    spread = read_spread(numbers[:5])
    if not numbers[5] or not spread.scale or not math.isfinite(sum(numbers)):
        return None
    base = spread if trusted is not None else None
    bounds = bounds_of(base, limits, dtype)
    return Expectation(
        exact=exact,
        rows=(rows_of(exact) + ROW_FLOOR * spread.scale).clamp_min(1e-300),
        scale=spread.scale,
        bounds=bounds,
        row_bound=row_bound_of(base, bounds, limits),
        trusted_rms=base.rms_relative if base else None,
    )


def agrees(name: str, got: torch.Tensor, known: Expectation, limits: Limits) -> OutputError | None:
    """The errors of an output that is plainly right; None when it needs a closer look."""
    if got.shape != known.exact.shape:
        return None
    absolute = (got.to(torch.float32) - known.exact).abs_()
    outside = (absolute > limits.atol) & (
        absolute > limits.rtol * (known.exact.abs() + REL_EPSILON)
    )
    figures = torch.stack(
        [
            absolute.max().double(),
            norm_of(absolute) / math.sqrt(got.numel()),
            (rows_of(absolute) / known.rows).max(),
            outside.sum().double(),
        ]
    )
    largest, rms, row, missed = figures.tolist()
    # A NaN makes every comparison false, so that nothing non-finite passes here.
    right = (
        rms <= known.bounds[0] * known.scale
        and largest <= known.bounds[1] * known.scale
        and row <= known.row_bound
        and missed <= (1 - limits.required_matched_ratio) * got.numel()
    )
    if not right:
        return None
    return OutputError(
        output=name,
        max_absolute=largest,
        matched_ratio=1.0 - missed / got.numel(),
        rms_relative=rms / known.scale,
        worst_row_relative=row,
        max_scaled=largest / known.scale,
        trusted_rms_relative=known.trusted_rms,
        limit_rms_relative=known.bounds[0],
        limit_max_scaled=known.bounds[1],
    )
