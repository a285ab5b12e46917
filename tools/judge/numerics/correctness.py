"""Compares one output of a candidate with the oracle's.

Pure: tensors in, error statistics and at most one `Mismatch` out. Two criteria are computed:

compatible  The published one. FlashInfer-Trace's: an element fails when its absolute and its
            relative error are both too large, and a stated share of the elements must not fail. An
            operator may state `torch.allclose`'s form, and that this criterion decides alone.
strict      Decides. The error against an oracle of higher precision may be at most a few times that
            of a trusted implementation in the declared precision: in root mean square, in the worst
            row and at the worst element. It scales with the data, so zeros do not pass for small
            values. TorchDynamo's accuracy check (`torch._dynamo.utils.same`) compares root mean
            squares against a float64 reference in the same way.

NaN and the infinities must stand at the same elements in both. An oracle that is wrong makes right
kernels fail: nothing here can tell the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ...schema.evaluation import OutputError
from .limits import REL_EPSILON, ToleranceLimits
from .mismatch import Mismatch, mismatch_of, shape_mismatch
from .mismatch_words import capped_message, outside_message, values_message, zeros_message

ROW_MINIMUM = 1e-3
"""Least rms of a row, as a share of the output's: a row of zeros is not divided by."""
ZERO_TOLERANCE = 1e-6
"""Largest absolute error where the oracle is zero everywhere."""


@dataclass(frozen=True)
class Spread:
    """Error statistics of one tensor against the oracle, over elements finite in both."""

    max_absolute: float
    max_relative: float
    rms_relative: float
    worst_row: float
    max_scaled: float
    scale: float


@dataclass(frozen=True)
class StrictBounds:
    """The strict criterion: the largest errors of an output that is right.

    Args:
        rms: root mean square of the error, over the oracle's.
        element: largest absolute error, over the oracle's root mean square.
        row: root mean square of a row's error, over that of the oracle's row.
    """

    rms: float
    element: float
    row: float

    def admit(self, rms: float, element: float, row: float) -> bool:
        """Whether errors lie within the bounds; NaN never does."""
        return rms <= self.rms and element <= self.element and row <= self.row


def check_output(
    name: str,
    got: torch.Tensor,
    expected: torch.Tensor,
    trusted: torch.Tensor | None,
    limits: ToleranceLimits,
    *,
    poison: int | None = None,
    axis_names: Sequence[str] = (),
    published: bool = True,
    constants: Mapping[str, float] | None = None,
) -> tuple[OutputError, Mismatch | None]:
    """Compares one output with the oracle's.

    Args:
        got: the candidate's output, in the declared dtype.
        expected: the oracle's output: the same shape, the same or a higher precision.
        trusted: the trusted implementation's output in the declared dtype; None: minima alone.
        poison: bit pattern the output held before the call, as an unsigned integer.
        axis_names: names of the output's axes, to say where mismatches lie.
        published: whether the compatible criterion decides too. It does on typical inputs only:
            its absolute bound was chosen for their magnitude.
        constants: sizes of axes and values of scalars by name, which may explain a wrong factor.

    Returns:
        The errors, and a mismatch when the output is wrong.
    """
    if got.shape != expected.shape:
        return OutputError(output=name, compatible=False, strict=False), shape_mismatch(
            name, got, expected
        )
    if got.numel() == 0:
        return OutputError(output=name, matched_ratio=1.0), None
    if not got.dtype.is_floating_point:
        return _check_exact(name, got, expected, poison, axis_names, constants)
    found = _compare(got, expected, trusted, limits)
    zeros = not limits.zeros and not bool(got.any()) and bool(expected.any())
    within = found.ratio >= limits.required_matched_ratio and not zeros
    error = OutputError(
        output=name,
        max_absolute=found.spread.max_absolute,
        max_relative=found.spread.max_relative,
        matched_ratio=found.ratio,
        rms_relative=found.spread.rms_relative,
        worst_row_relative=found.spread.worst_row,
        max_scaled=found.spread.max_scaled,
        trusted_rms_relative=found.base.rms_relative if found.base else None,
        limit_rms_relative=found.bounds.rms,
        limit_max_scaled=found.bounds.element,
        compatible=within and not limits.capped(found.spread.max_absolute),
        strict=found.strict,
    )
    alone = not limits.strict_decides
    # The compatible criterion is ignored where the trusted implementation does not meet it.
    ignored = not published or found.attainable < limits.required_matched_ratio
    if (error.strict or alone) and (error.compatible or (ignored and not alone)):
        return error, None
    bad = found.failing if alone and bool(found.failing.any()) else found.bad()
    words = _words(found.classes, error, limits, zeros=zeros)
    return error, mismatch_of(name, words, got, expected, bad, poison, axis_names, constants)


@dataclass(frozen=True)
class _Compared:
    """Masks of wrong elements (on the device) and error statistics (on the host) of one output."""

    ours: torch.Tensor
    oracle: torch.Tensor
    finite: torch.Tensor
    wrong_class: torch.Tensor
    failing: torch.Tensor
    spread: Spread
    base: Spread | None
    bounds: StrictBounds
    classes: int
    ratio: float
    attainable: float

    @property
    def strict(self) -> bool:
        """Whether the strict criterion admits the output."""
        spread = self.spread
        return not self.classes and self.bounds.admit(
            spread.rms_relative, spread.max_scaled, spread.worst_row
        )

    def bad(self) -> torch.Tensor:
        """bool, the shape of the output: the elements that a mismatch reports."""
        far = _far(self.ours, self.oracle, self.spread, self.bounds)
        bad = self.wrong_class | (self.finite & far)
        if bool(bad.any()):
            return bad
        return (
            self.failing
            if bool(self.failing.any())
            else _worst(self.ours, self.oracle, self.finite)
        )


def _compare(
    got: torch.Tensor, expected: torch.Tensor, trusted: torch.Tensor | None, limits: ToleranceLimits
) -> _Compared:
    """Computes all error statistics with a single synchronisation."""
    # The tightest bounds are 1e-6 of the rms, which single precision resolves.
    work = torch.float64 if got.dtype == torch.float64 else torch.float32
    ours, oracle = got.to(work), expected.to(work)
    declared = expected.to(got.dtype).to(work)
    wrong_class = _class_mismatch(ours, oracle) & _class_mismatch(ours, declared)
    finite = torch.isfinite(ours) & torch.isfinite(oracle)
    failing = wrong_class | (finite & _outside(ours, oracle, limits))
    figures = [spread_of(ours, oracle, finite), wrong_class.sum()[None], failing.sum()[None]]
    if trusted is not None:
        theirs = trusted.to(work)
        shared = torch.isfinite(theirs) & torch.isfinite(oracle)
        missed = (shared & _outside(theirs, oracle, limits)).sum()[None]
        figures += [spread_of(theirs, oracle, shared), missed]
    numbers: list[float] = torch.cat([figure.double() for figure in figures]).tolist()
    spread = read_spread(numbers[:5])
    base = read_spread(numbers[7:12]) if trusted is not None else None
    missed_share = numbers[12] / got.numel() if trusted is not None else 0.0
    return _Compared(
        ours=ours,
        oracle=oracle,
        finite=finite,
        wrong_class=wrong_class,
        failing=failing,
        spread=spread,
        base=base,
        bounds=strict_bounds(base, limits, got.dtype),
        classes=int(numbers[5]),
        ratio=1.0 - numbers[6] / got.numel(),
        attainable=1.0 - missed_share,
    )


def _class_mismatch(ours: torch.Tensor, oracle: torch.Tensor) -> torch.Tensor:
    """bool: exactly one is NaN, or one is infinite and the other is not the same infinity."""
    nan = torch.isnan(ours) != torch.isnan(oracle)
    infinite = torch.isinf(ours) | torch.isinf(oracle)
    both_nan = torch.isnan(ours) & torch.isnan(oracle)
    return nan | (infinite & (ours != oracle) & ~both_nan)


def _outside(ours: torch.Tensor, oracle: torch.Tensor, limits: ToleranceLimits) -> torch.Tensor:
    """bool: the error is larger than the published criterion allows."""
    return (ours - oracle).abs() > limits.allowed(oracle.abs())


def spread_of(ours: torch.Tensor, oracle: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    """Error statistics as five doubles on the device, to be read by `read_spread`."""
    zero = torch.zeros((), dtype=oracle.dtype, device=oracle.device)
    absolute = torch.where(finite, (ours - oracle).abs(), zero)
    magnitude = torch.where(finite, oracle.abs(), zero)
    counted = finite.sum().clamp_min(1).double()
    scale = norm_of(magnitude) / counted.sqrt()
    row = rows_of(absolute) / (rows_of(magnitude) + ROW_MINIMUM * scale).clamp_min(1e-300)
    return torch.stack(
        [
            absolute.max().double(),
            (absolute / (magnitude + REL_EPSILON)).max().double(),
            norm_of(absolute) / counted.sqrt(),
            row.max(),
            scale,
        ]
    )


def read_spread(numbers: Sequence[float]) -> Spread:
    """The statistics of `spread_of`, once copied to the host."""
    largest, relative, rms, row, scale = numbers
    return Spread(
        max_absolute=largest,
        max_relative=relative,
        rms_relative=_ratio(rms, scale),
        worst_row=row if scale else _ratio(largest, 0.0),
        max_scaled=_ratio(largest, scale),
        scale=scale,
    )


def norm_of(values: torch.Tensor) -> torch.Tensor:
    """Euclidean norm in double precision: squares of single-precision values cannot overflow."""
    return torch.linalg.vector_norm(values.flatten(), dtype=torch.float64)


def rows_of(values: torch.Tensor) -> torch.Tensor:
    """Root mean square of each row (last axis), in double precision."""
    rows = values.reshape(-1, values.shape[-1]) if values.dim() else values.reshape(1, 1)
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64) / math.sqrt(rows.shape[1])


def _ratio(error: float, scale: float) -> float:
    if scale > 0:
        return error / scale
    return 0.0 if error <= ZERO_TOLERANCE else math.inf


def strict_bounds(base: Spread | None, limits: ToleranceLimits, dtype: torch.dtype) -> StrictBounds:
    """The strict criterion for an output declared as `dtype`.

    Args:
        base: errors of the trusted implementation; None, or not finite: the minima alone decide.
        limits: factors on those errors, and minima.
        dtype: decides the minima where `limits` states none.
    """
    rms, element = limits.minima(dtype)
    if base is not None and math.isfinite(base.rms_relative + base.max_scaled):
        rms = max(rms, limits.rms_factor * base.rms_relative)
        element = max(element, limits.max_factor * base.max_scaled)
    row = element
    if base is not None and math.isfinite(base.worst_row):
        row = max(row, limits.max_factor * base.worst_row)
    return StrictBounds(rms, element, row)


def _far(
    ours: torch.Tensor, oracle: torch.Tensor, spread: Spread, bounds: StrictBounds
) -> torch.Tensor:
    """bool: elements beyond the bound on one element, else those that make the rms too large."""
    absolute = (ours - oracle).abs()
    far = absolute > bounds.element * spread.scale
    return far if bool(far.any()) else absolute > 2 * bounds.rms * spread.scale


def _worst(ours: torch.Tensor, oracle: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    absolute = torch.where(finite, (ours - oracle).abs(), torch.zeros_like(ours))
    return absolute == absolute.max()


def _words(
    classes: int, error: OutputError, limits: ToleranceLimits, *, zeros: bool
) -> tuple[str, str, str]:
    if zeros and not classes:
        return zeros_message()
    if limits.strict_decides:
        return values_message(classes, error)
    if not classes and limits.capped(float(error.max_absolute or 0)):
        return capped_message(error, limits.max_error or 0.0)
    due = limits.required_matched_ratio
    return outside_message(classes, error, limits.atol, limits.rtol, due)


def _check_exact(
    name: str,
    got: torch.Tensor,
    expected: torch.Tensor,
    poison: int | None,
    axis_names: Sequence[str],
    constants: Mapping[str, float] | None,
) -> tuple[OutputError, Mismatch | None]:
    """Integers and booleans: equal or not."""
    bad = got.to(torch.int64) != expected.to(torch.int64)
    count = int(bad.sum())
    distance = (got.to(torch.int64) - expected.to(torch.int64)).abs().max()
    error = OutputError(
        output=name,
        max_absolute=float(distance),
        matched_ratio=1.0 - count / got.numel(),
        compatible=not count,
        strict=not count,
    )
    if not count:
        return error, None
    words = (
        "wrong_values",
        "integers must be equal",
        "Compare the worst element with the reference by hand.",
    )
    return error, mismatch_of(name, words, got, expected, bad, poison, axis_names, constants)
