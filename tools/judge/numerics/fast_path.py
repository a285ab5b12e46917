"""The quick answer for outputs that agree: what is worked out once per draw, then a few passes.

Timed calls are all verified, so an honest candidate's wait is spent here. All outputs of a call are
told to agree from a few figures and one wait for the device; whatever is not plainly right is left
to `correctness.check_output`, which also says what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ...schema.evaluation import OutputError
from .correctness import (
    REL_EPSILON,
    ROW_FLOOR,
    ToleranceLimits,
    bounds_of,
    norm_of,
    read_spread,
    row_bound_of,
)


@dataclass(frozen=True)
class ExpectedOutput:
    """What one output of a draw must be.

    Args:
        expected: the oracle's output.
        trusted: the trusted implementation's.
        limits: how far apart outputs may be.
        dtype: the output's declared dtype.
    """

    expected: torch.Tensor
    trusted: torch.Tensor | None
    limits: ToleranceLimits
    dtype: torch.dtype


@dataclass(frozen=True)
class Expectation:
    """One output of one draw: the oracle's values in single precision, and limits from them.

    Args:
        exact: the oracle's values.
        allowed: largest absolute error of each element by the published criterion.
        rows: what each row's error norm is divided by.
        scale: root mean square of the oracle's values.
    """

    exact: torch.Tensor
    allowed: torch.Tensor
    rows: torch.Tensor
    scale: float
    bounds: tuple[float, float]
    row_bound: float
    trusted_rms: float | None
    limits: ToleranceLimits


def expectations(wanted: Mapping[str, ExpectedOutput]) -> dict[str, Expectation | None]:
    """Prepares the outputs of one draw; None for those to which the quick way does not apply."""
    drafts = {name: _draft(one) for name, one in wanted.items() if _applies(one)}
    numbers = _read([draft.figures for draft in drafts.values()])
    found = {
        name: _finished(wanted[name], draft, read)
        for (name, draft), read in zip(drafts.items(), numbers, strict=True)
    }
    return {name: found.get(name) for name in wanted}


def agreements(
    got: Mapping[str, torch.Tensor], known: Mapping[str, Expectation]
) -> dict[str, OutputError | None]:
    """The errors of outputs that are plainly right; None for those that need a closer look.

    Args:
        got: the outputs of one call.
        known: what is known of each.
    """
    comparable = [name for name in got if got[name].shape == known[name].exact.shape]
    numbers = _read([_errors(got[name], known[name]) for name in comparable])
    found = {
        name: _agreement(name, got[name].numel(), known[name], read)
        for name, read in zip(comparable, numbers, strict=True)
    }
    return {name: found.get(name) for name in got}


@dataclass(frozen=True)
class _Draft:
    """An expectation whose figures are still on the device."""

    exact: torch.Tensor
    rows: torch.Tensor
    figures: torch.Tensor


def _applies(wanted: ExpectedOutput) -> bool:
    dtype = wanted.dtype
    return dtype.is_floating_point and dtype != torch.float64 and bool(wanted.expected.numel())


def _draft(wanted: ExpectedOutput) -> _Draft:
    exact = wanted.expected.to(torch.float32)
    lengths = _row_norms(exact)
    scale = norm_of(lengths) / math.sqrt(exact.numel())
    width = _width(exact)
    rows = (lengths + (ROW_FLOOR * math.sqrt(width)) * scale).clamp_min_(1e-300)
    if wanted.trusted is None:
        return _Draft(exact, rows, torch.stack([torch.zeros_like(scale)] * 3 + [scale]))
    error = (wanted.trusted.to(torch.float32) - exact).abs_()
    figures = _figures(error, rows) + [scale]
    return _Draft(exact, rows, torch.stack(figures))


def _finished(
    wanted: ExpectedOutput, draft: _Draft, numbers: Sequence[float]
) -> Expectation | None:
    largest, length, row, scale = numbers
    rms = length / math.sqrt(draft.exact.numel())
    # An infinity or a NaN anywhere in the oracle makes its norm, the scale, one too.
    if not scale or not math.isfinite(sum(numbers)):
        return None
    base = read_spread([largest, 0.0, rms, row, scale]) if wanted.trusted is not None else None
    limits = wanted.limits
    bounds = bounds_of(base, limits, wanted.dtype)
    allowed = draft.exact.abs().add_(REL_EPSILON).mul_(limits.rtol).clamp_min_(limits.atol)
    return Expectation(
        exact=draft.exact,
        allowed=allowed,
        rows=draft.rows,
        scale=scale,
        bounds=bounds,
        row_bound=row_bound_of(base, bounds, limits),
        trusted_rms=base.rms_relative if base else None,
        limits=limits,
    )


def _errors(got: torch.Tensor, known: Expectation) -> torch.Tensor:
    error = (got.to(torch.float32) - known.exact).abs_()
    missed = (error > known.allowed).sum()
    return torch.stack([*_figures(error, known.rows), missed.double()])


def _agreement(
    name: str, count: int, known: Expectation, numbers: Sequence[float]
) -> OutputError | None:
    largest, length, row, missed = numbers
    rms = length / math.sqrt(count)
    # A NaN makes every comparison false, so that nothing non-finite passes here.
    right = (
        rms <= known.bounds[0] * known.scale
        and largest <= known.bounds[1] * known.scale
        and row <= known.row_bound
        and missed <= (1 - known.limits.required_matched_ratio) * count
    )
    if not right:
        return None
    return OutputError(
        output=name,
        max_absolute=largest,
        matched_ratio=1.0 - missed / count,
        rms_relative=rms / known.scale,
        worst_row_relative=row,
        max_scaled=largest / known.scale,
        trusted_rms_relative=known.trusted_rms,
        limit_rms_relative=known.bounds[0],
        limit_max_scaled=known.bounds[1],
    )


def _figures(error: torch.Tensor, rows: torch.Tensor) -> list[torch.Tensor]:
    """Largest element, norm, and worst row of absolute errors, as doubles on the device."""
    lengths = _row_norms(error)
    return [error.max().double(), norm_of(lengths), (lengths / rows).max()]


def _row_norms(values: torch.Tensor) -> torch.Tensor:
    """Euclidean norm of each row (last axis), in double precision."""
    return torch.linalg.vector_norm(values.reshape(-1, _width(values)), dim=1, dtype=torch.float64)


def _width(values: torch.Tensor) -> int:
    return values.shape[-1] if values.dim() else 1


def _read(figures: Sequence[torch.Tensor]) -> list[list[float]]:
    """Every row of figures, with one wait for the device."""
    return torch.stack(list(figures)).tolist() if figures else []
