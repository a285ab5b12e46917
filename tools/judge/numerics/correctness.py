"""Does one output agree with what the inputs must give?

Pure: tensors in, numbers and at most one `Mismatch` out. Two criteria are computed. The compatible
one is FlashInfer-Trace's (an element fails when its absolute *and* its relative error are too
large). The strict one decides: the error against a higher-precision oracle may be at most a few
times that of a trusted implementation in the declared precision, overall, in the worst row and at
the worst element; it therefore scales with the data, so that an output whose values are small
cannot be passed with zeros. NaN and the infinities must match element by element, class by class.

It knows nothing of where tensors come from, and cannot tell an unlucky oracle from a wrong kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ...schema.evaluation import OutputError
from .mismatch import Mismatch, mismatch_of, shape_mismatch

REL_EPSILON = 1e-8
ROW_FLOOR = 1e-3
"""A row counts as at least this share of the output's rms, so that no empty row divides by zero."""
ZERO_FLOOR = 1e-6
"""Largest absolute value that may stand where the oracle is zero everywhere."""
GENERIC_FLOORS = {
    torch.float64: (1e-6, 1e-5),
    torch.float32: (1e-4, 1e-3),
    torch.float16: (4e-3, 4e-2),
    torch.bfloat16: (1.6e-2, 1.6e-1),
}
"""rms and worst-element floors by declared dtype, where an operator states none."""
LOW_PRECISION_FLOORS = (0.12, 1.0)


@dataclass(frozen=True)
class ToleranceLimits:
    """How far an output may be from the oracle.

    Args:
        atol, rtol, required_matched_ratio: FlashInfer-Trace's criterion.
        rms_factor, max_factor: times the trusted implementation's error.
        rms_floor, max_floor: least limits, relative to the oracle's rms; None: by dtype.
    """

    atol: float = 1e-2
    rtol: float = 1e-2
    required_matched_ratio: float = 1.0
    rms_factor: float = 2.0
    max_factor: float = 4.0
    rms_floor: float | None = None
    max_floor: float | None = None

    def floors(self, dtype: torch.dtype) -> tuple[float, float]:
        """The least limits on rms and worst element for an output declared as `dtype`."""
        rms, largest = GENERIC_FLOORS.get(dtype, LOW_PRECISION_FLOORS)
        return (
            rms if self.rms_floor is None else self.rms_floor,
            largest if self.max_floor is None else self.max_floor,
        )


@dataclass(frozen=True)
class Spread:
    """Error statistics of one tensor against the oracle, over elements finite in both."""

    max_absolute: float
    max_relative: float
    rms_relative: float
    worst_row: float
    max_scaled: float
    scale: float


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
        name: the output's name, for the words.
        got: what the candidate wrote, in the declared dtype.
        expected: the oracle's output: the same shape, the same or a higher precision.
        trusted: the trusted implementation's output in the declared dtype; None: floors alone.
        limits: how far apart they may be.
        poison: bit pattern the output held before the call, as an unsigned integer.
        axis_names: names of the output's axes, to say where mismatches lie.
        published: whether the published criterion decides too, as it does on the inputs that it was
            made for; its absolute bound fits no others.
        constants: sizes of axes and values of scalars by name, which may explain a wrong factor.

    Returns:
        The errors, and a mismatch when the output does not agree.
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
    error = OutputError(
        output=name,
        max_absolute=found.spread.max_absolute,
        max_relative=found.spread.max_relative,
        matched_ratio=found.ratio,
        rms_relative=found.spread.rms_relative,
        worst_row_relative=found.spread.worst_row,
        max_scaled=found.spread.max_scaled,
        trusted_rms_relative=found.base.rms_relative if found.base else None,
        limit_rms_relative=found.bounds[0],
        limit_max_scaled=found.bounds[1],
        compatible=found.ratio >= limits.required_matched_ratio,
        strict=not found.classes and _within(found.spread, found.base, found.bounds, limits),
    )
    # Where even the trusted implementation misses the published criterion, it decides nothing.
    decides = published and found.attainable >= limits.required_matched_ratio
    if error.strict and (error.compatible or not decides):
        return error, None
    words = _values_message(found.classes, error)
    bad = found.bad()
    return error, mismatch_of(name, words, got, expected, bad, poison, axis_names, constants)


@dataclass(frozen=True)
class _Compared:
    """One output held against the oracle: masks on the device, figures on the host."""

    ours: torch.Tensor
    oracle: torch.Tensor
    finite: torch.Tensor
    wrong_class: torch.Tensor
    failing: torch.Tensor
    spread: Spread
    base: Spread | None
    bounds: tuple[float, float]
    classes: int
    ratio: float
    attainable: float

    def bad(self) -> torch.Tensor:
        """The elements to show for a mismatch."""
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
    """Takes every figure with one wait for the device, since each call is held up by them."""
    # Limits are 1e-6 of the output's rms at their tightest: single precision tells errors well.
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
        bounds=bounds_of(base, limits, got.dtype),
        classes=int(numbers[5]),
        ratio=1.0 - numbers[6] / got.numel(),
        attainable=1.0 - missed_share,
    )


def _class_mismatch(ours: torch.Tensor, oracle: torch.Tensor) -> torch.Tensor:
    """Where one is NaN and the other not, or either is infinite and the other not the same."""
    nan = torch.isnan(ours) != torch.isnan(oracle)
    infinite = torch.isinf(ours) | torch.isinf(oracle)
    both_nan = torch.isnan(ours) & torch.isnan(oracle)
    return nan | (infinite & (ours != oracle) & ~both_nan)


def _outside(ours: torch.Tensor, oracle: torch.Tensor, limits: ToleranceLimits) -> torch.Tensor:
    """FlashInfer-Trace's criterion: absolute and relative error both too large."""
    absolute = (ours - oracle).abs()
    return (absolute > limits.atol) & (absolute > limits.rtol * (oracle.abs() + REL_EPSILON))


def spread_of(ours: torch.Tensor, oracle: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    """What `read_spread` reads, on the device: five doubles, without waiting for any of them."""
    zero = torch.zeros((), dtype=oracle.dtype, device=oracle.device)
    absolute = torch.where(finite, (ours - oracle).abs(), zero)
    magnitude = torch.where(finite, oracle.abs(), zero)
    counted = finite.sum().clamp_min(1).double()
    scale = norm_of(magnitude) / counted.sqrt()
    row = rows_of(absolute) / (rows_of(magnitude) + ROW_FLOOR * scale).clamp_min(1e-300)
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
    """The figures of `spread_of`, once they are on the host."""
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
    """Euclidean norm in double precision, in which no square of a single overflows."""
    return torch.linalg.vector_norm(values.flatten(), dtype=torch.float64)


def rows_of(values: torch.Tensor) -> torch.Tensor:
    """Root mean square of each row (last axis), in double precision."""
    rows = values.reshape(-1, values.shape[-1]) if values.dim() else values.reshape(1, 1)
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64) / math.sqrt(rows.shape[1])


def _ratio(error: float, scale: float) -> float:
    if scale > 0:
        return error / scale
    return 0.0 if error <= ZERO_FLOOR else math.inf


def bounds_of(
    base: Spread | None, limits: ToleranceLimits, dtype: torch.dtype
) -> tuple[float, float]:
    rms_floor, max_floor = limits.floors(dtype)
    if base is None or not math.isfinite(base.rms_relative + base.max_scaled):
        return rms_floor, max_floor
    return (
        max(limits.rms_factor * base.rms_relative, rms_floor),
        max(limits.max_factor * base.max_scaled, max_floor),
    )


def _within(
    spread: Spread, base: Spread | None, bounds: tuple[float, float], limits: ToleranceLimits
) -> bool:
    return (
        spread.rms_relative <= bounds[0]
        and spread.max_scaled <= bounds[1]
        and spread.worst_row <= row_bound_of(base, bounds, limits)
    )


def row_bound_of(
    base: Spread | None, bounds: tuple[float, float], limits: ToleranceLimits
) -> float:
    """The most that the worst row's relative error may be."""
    if base is None or not math.isfinite(base.worst_row):
        return bounds[1]
    return max(bounds[1], limits.max_factor * base.worst_row)


def _far(
    ours: torch.Tensor, oracle: torch.Tensor, spread: Spread, bounds: tuple[float, float]
) -> torch.Tensor:
    """Elements to show: beyond the worst-element limit, else the ones that make the rms."""
    absolute = (ours - oracle).abs()
    far = absolute > bounds[1] * spread.scale
    return far if bool(far.any()) else absolute > 2 * bounds[0] * spread.scale


def _worst(ours: torch.Tensor, oracle: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    absolute = torch.where(finite, (ours - oracle).abs(), torch.zeros_like(ours))
    return absolute == absolute.max()


def _values_message(classes: int, error: OutputError) -> tuple[str, str, str]:
    if classes:
        return (
            "wrong_nonfinite",
            f"{classes} elements are NaN or infinite where the reference is not, or the reverse",
            "Check for division by zero, overflow, uninitialised reads, and rows that are fully "
            "masked; NaN and infinities must stand exactly where the reference has them.",
        )
    numbers = (
        f"relative rms error {_number(error.rms_relative)} "
        f"(limit {_number(error.limit_rms_relative)}), worst element "
        f"{_number(error.max_scaled)} of the output's rms (limit {_number(error.limit_max_scaled)})"
    )
    if error.compatible:
        return (
            "error_too_large",
            f"within the published tolerance, but far less exact than a trusted implementation in "
            f"the same precision: {numbers}",
            "Look for a skipped part of the work, a missing term or an accumulator of too low "
            "precision; accumulate in float32.",
        )
    return (
        "wrong_values",
        numbers,
        "Compare the worst element with the reference by hand; the place of the mismatches "
        "usually names the faulty index computation.",
    )


def _number(value: float | str | None) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "unbounded"


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
