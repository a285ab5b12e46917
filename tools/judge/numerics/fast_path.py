"""Accepts outputs that are clearly right in a few passes over memory.

Every timed call is verified, so most of an evaluation's time would be spent comparing. What depends
on the expected output alone is computed once per input set; then each call costs a few reductions
and one synchronisation for all of its outputs. An output that is not accepted here is compared by
`correctness.check_output`, with the same criterion, which also reports what is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ...schema.evaluation import OutputError
from .correctness import (
    ROW_MINIMUM,
    StrictBounds,
    norm_of,
    read_spread,
    strict_bounds,
)
from .limits import ToleranceLimits

SMALL_ELEMENTS = 1 << 20
"""Of an output: comparing such takes as long as launching what compares."""


@dataclass(frozen=True)
class ExpectedOutput:
    """What one output must be for one input set."""

    expected: torch.Tensor
    trusted: torch.Tensor | None
    limits: ToleranceLimits
    dtype: torch.dtype


@dataclass(frozen=True)
class PreparedOutput:
    """An expected output with what comparing with it needs, computed once.

    Args:
        exact: the oracle's values, in single precision.
        allowed: largest absolute error of each element by the compatible criterion.
        rows: what the norm of each row's error is divided by.
        scale: root mean square of the oracle's values.
        trusted_rms: relative rms error of the trusted implementation.
    """

    exact: torch.Tensor
    allowed: torch.Tensor
    rows: torch.Tensor
    scale: float
    bounds: StrictBounds
    trusted_rms: float | None
    limits: ToleranceLimits


PreparedCall = tuple[Mapping[str, torch.Tensor], Mapping[str, PreparedOutput]]
"""The outputs of one call, and what each must be."""


def prepare_outputs(expected: Mapping[str, ExpectedOutput]) -> dict[str, PreparedOutput | None]:
    """Prepares the expected outputs of one input set; None where the fast path does not apply."""
    drafts = {name: _draft(output) for name, output in expected.items() if _applies(output)}
    numbers = _read([draft.figures for draft in drafts.values()])
    found = {
        name: _prepared(expected[name], draft, read)
        for (name, draft), read in zip(drafts.items(), numbers, strict=True)
    }
    return {name: found.get(name) for name in expected}


def accepted_calls(calls: Sequence[PreparedCall]) -> list[dict[str, OutputError | None]]:
    """For each call the errors of its outputs that are right; None for those not accepted here.

    It waits for the device once.
    """
    comparable = [
        (number, name)
        for number, (got, prepared) in enumerate(calls)
        for name in got
        if got[name].shape == prepared[name].exact.shape
    ]
    pairs = [(calls[number][0][name], calls[number][1][name]) for number, name in comparable]
    found: list[dict[str, OutputError | None]] = [dict.fromkeys(got) for got, _ in calls]
    for (number, name), (got, prepared), read in zip(
        comparable, pairs, _read(_errors_of(pairs)), strict=True
    ):
        found[number][name] = _accepted(name, got.numel(), prepared, read)
    return found


@dataclass(frozen=True)
class _Draft:
    """A prepared output whose statistics are still on the device."""

    exact: torch.Tensor
    rows: torch.Tensor
    figures: torch.Tensor


def _applies(output: ExpectedOutput) -> bool:
    dtype = output.dtype
    return dtype.is_floating_point and dtype != torch.float64 and bool(output.expected.numel())


def _draft(output: ExpectedOutput) -> _Draft:
    exact = output.expected.to(torch.float32)
    lengths = _row_norms(exact)
    scale = norm_of(lengths) / math.sqrt(exact.numel())
    width = _width(exact)
    rows = (lengths + (ROW_MINIMUM * math.sqrt(width)) * scale).clamp_min_(1e-300)
    if output.trusted is None:
        return _Draft(exact, rows, torch.stack([torch.zeros_like(scale)] * 3 + [scale]))
    error = (output.trusted.to(torch.float32) - exact).abs_()
    figures = _figures(error, rows) + [scale]
    return _Draft(exact, rows, torch.stack(figures))


def _prepared(
    output: ExpectedOutput, draft: _Draft, numbers: Sequence[float]
) -> PreparedOutput | None:
    largest, length, row, scale = numbers
    rms = length / math.sqrt(draft.exact.numel())
    # An infinity or a NaN anywhere in the oracle makes its norm, the scale, one too.
    if not scale or not math.isfinite(sum(numbers)):
        return None
    base = read_spread([largest, 0.0, rms, row, scale]) if output.trusted is not None else None
    limits = output.limits
    return PreparedOutput(
        exact=draft.exact,
        allowed=limits.allowed(draft.exact.abs()),
        rows=draft.rows,
        scale=scale,
        bounds=strict_bounds(base, limits, output.dtype),
        trusted_rms=base.rms_relative if base else None,
        limits=limits,
    )


def _errors_of(pairs: Sequence[tuple[torch.Tensor, PreparedOutput]]) -> list[torch.Tensor]:
    """The errors of each output; small ones that are alike are compared together."""
    alike: dict[object, list[int]] = {}
    for number, (got, _) in enumerate(pairs):
        key = (got.shape, got.dtype) if got.numel() <= SMALL_ELEMENTS else number
        alike.setdefault(key, []).append(number)
    found: dict[int, torch.Tensor] = {}
    for numbers in alike.values():
        some = [pairs[number] for number in numbers]
        errors = [_errors(*some[0])] if len(some) == 1 else _errors_together(some)
        found |= dict(zip(numbers, errors, strict=True))
    return [found[number] for number in range(len(pairs))]


def _errors(got: torch.Tensor, prepared: PreparedOutput) -> torch.Tensor:
    error = (got.to(torch.float32) - prepared.exact).abs_()
    missed = (error > prepared.allowed).sum()
    return torch.stack([*_figures(error, prepared.rows), missed.double()])


def _errors_together(pairs: Sequence[tuple[torch.Tensor, PreparedOutput]]) -> list[torch.Tensor]:
    """As `_errors` of each, in the launches of one."""
    count, width = len(pairs), _width(pairs[0][0])
    got = torch.stack([one.to(torch.float32) for one, _ in pairs])
    # What torch stacks keeps an order of the axes that all of it has, e.g. channels last.
    error = (got - torch.stack([one.exact for _, one in pairs])).abs_().reshape(count, -1)
    allowed = torch.stack([one.allowed for _, one in pairs]).reshape(count, -1)
    lengths = torch.linalg.vector_norm(error.view(-1, width), dim=1, dtype=torch.float64)
    rows = lengths.view(count, -1)
    worst = (rows / torch.stack([one.rows for _, one in pairs])).amax(1)
    length = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    missed = (error > allowed).sum(1).double()
    figures = [error.amax(1).double(), length, worst, missed]
    return list(torch.stack(figures, dim=1).unbind())


def _accepted(
    name: str, count: int, prepared: PreparedOutput, numbers: Sequence[float]
) -> OutputError | None:
    largest, length, row, missed = numbers
    rms, element = length / math.sqrt(count) / prepared.scale, largest / prepared.scale
    most_missed = (1 - prepared.limits.required_matched_ratio) * count
    # A NaN makes every comparison false, so nothing non-finite passes here.
    if not (prepared.bounds.admit(rms, element, row) and missed <= most_missed):
        return None
    if prepared.limits.capped(largest) or (rms >= 1 and not prepared.limits.zeros):
        return None
    return OutputError(
        output=name,
        max_absolute=largest,
        matched_ratio=1.0 - missed / count,
        rms_relative=rms,
        worst_row_relative=row,
        max_scaled=element,
        trusted_rms_relative=prepared.trusted_rms,
        limit_rms_relative=prepared.bounds.rms,
        limit_max_scaled=prepared.bounds.element,
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
    """The statistics on the host, with one synchronisation."""
    return torch.stack(list(figures)).tolist() if figures else []
