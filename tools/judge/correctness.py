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
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..schema.evaluation import OutputError
from .clusters import describe

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
BIT_VIEW = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integer dtype of the same width, to see a tensor as bits."""


@dataclass(frozen=True)
class Limits:
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


@dataclass(frozen=True)
class _Spread:
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
    limits: Limits,
    *,
    poison: int | None = None,
    axis_names: Sequence[str] = (),
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

    Returns:
        The errors, and a mismatch when the output does not agree.
    """
    if got.shape != expected.shape:
        return OutputError(output=name, compatible=False, strict=False), _shape_mismatch(
            name, got, expected
        )
    if got.numel() == 0:
        return OutputError(output=name, matched_ratio=1.0), None
    if not got.dtype.is_floating_point:
        return _check_exact(name, got, expected, poison, axis_names)
    work = torch.float64 if expected.dtype == torch.float64 else torch.float32
    ours, oracle = got.to(work), expected.to(work)
    declared = expected.to(got.dtype).to(work)
    wrong_class = _class_mismatch(ours, oracle) & _class_mismatch(ours, declared)
    finite = torch.isfinite(ours) & torch.isfinite(oracle)
    spread = _spread(ours, oracle, finite)
    base = None
    attainable = 1.0
    if trusted is not None:
        theirs = trusted.to(work)
        shared = torch.isfinite(theirs) & torch.isfinite(oracle)
        base = _spread(theirs, oracle, shared)
        attainable = 1.0 - int((shared & _outside(theirs, oracle, limits)).sum()) / got.numel()
    failing = wrong_class | (finite & _outside(ours, oracle, limits))
    ratio = 1.0 - int(failing.sum()) / got.numel()
    # Where even the trusted implementation misses the published criterion, it decides nothing.
    compatible = ratio >= min(limits.required_matched_ratio, attainable)
    bounds = _bounds(base, limits, got.dtype)
    strict = not bool(wrong_class.any()) and _within(spread, base, bounds, limits)
    error = OutputError(
        output=name,
        max_absolute=spread.max_absolute,
        max_relative=spread.max_relative,
        matched_ratio=ratio,
        rms_relative=spread.rms_relative,
        worst_row_relative=spread.worst_row,
        max_scaled=spread.max_scaled,
        trusted_rms_relative=base.rms_relative if base else None,
        limit_rms_relative=bounds[0],
        limit_max_scaled=bounds[1],
        compatible=compatible,
        strict=strict,
    )
    if compatible and strict:
        return error, None
    bad = wrong_class | (finite & _far(ours, oracle, spread, bounds))
    if not bool(bad.any()):
        bad = failing if bool(failing.any()) else _worst(ours, oracle, finite)
    words = _values_message(name, error, wrong_class, compatible)
    return error, _mismatch(name, words, got, expected, bad, poison, axis_names)


def _class_mismatch(ours: torch.Tensor, oracle: torch.Tensor) -> torch.Tensor:
    """Where one is NaN and the other not, or either is infinite and the other not the same."""
    nan = torch.isnan(ours) != torch.isnan(oracle)
    infinite = torch.isinf(ours) | torch.isinf(oracle)
    both_nan = torch.isnan(ours) & torch.isnan(oracle)
    return nan | (infinite & (ours != oracle) & ~both_nan)


def _outside(ours: torch.Tensor, oracle: torch.Tensor, limits: Limits) -> torch.Tensor:
    """FlashInfer-Trace's criterion: absolute and relative error both too large."""
    absolute = (ours - oracle).abs()
    return (absolute > limits.atol) & (absolute > limits.rtol * (oracle.abs() + REL_EPSILON))


def _spread(ours: torch.Tensor, oracle: torch.Tensor, finite: torch.Tensor) -> _Spread:
    zero = torch.zeros((), dtype=oracle.dtype, device=oracle.device)
    absolute = torch.where(finite, (ours - oracle).abs(), zero)
    magnitude = torch.where(finite, oracle.abs(), zero)
    counted = max(int(finite.sum()), 1)
    scale = _norm(magnitude) / math.sqrt(counted)
    largest = float(absolute.max())
    rms = _norm(absolute) / math.sqrt(counted)
    row_error, row_size = _rows(absolute), _rows(magnitude)
    row = row_error / (row_size + ROW_FLOOR * scale).clamp_min(1e-300)
    return _Spread(
        max_absolute=largest,
        max_relative=float((absolute / (magnitude + REL_EPSILON)).max()),
        rms_relative=_ratio(rms, scale),
        worst_row=float(row.max()) if scale else _ratio(largest, 0.0),
        max_scaled=_ratio(largest, scale),
        scale=scale,
    )


def _norm(values: torch.Tensor) -> float:
    """Euclidean norm that neither overflows nor vanishes in single precision."""
    top = float(values.max())
    if top == 0 or not math.isfinite(top):
        return top
    return top * float(torch.linalg.vector_norm((values / top).flatten(), dtype=torch.float64))


def _rows(values: torch.Tensor) -> torch.Tensor:
    """Root mean square of each row (last axis), in double precision."""
    rows = values.reshape(-1, values.shape[-1]) if values.dim() else values.reshape(1, 1)
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64) / math.sqrt(rows.shape[1])


def _ratio(error: float, scale: float) -> float:
    if scale > 0:
        return error / scale
    return 0.0 if error <= ZERO_FLOOR else math.inf


def _bounds(base: _Spread | None, limits: Limits, dtype: torch.dtype) -> tuple[float, float]:
    rms_floor, max_floor = limits.floors(dtype)
    if base is None or not math.isfinite(base.rms_relative + base.max_scaled):
        return rms_floor, max_floor
    return (
        max(limits.rms_factor * base.rms_relative, rms_floor),
        max(limits.max_factor * base.max_scaled, max_floor),
    )


def _within(
    spread: _Spread, base: _Spread | None, bounds: tuple[float, float], limits: Limits
) -> bool:
    row_bound = bounds[1]
    if base is not None and math.isfinite(base.worst_row):
        row_bound = max(row_bound, limits.max_factor * base.worst_row)
    return (
        spread.rms_relative <= bounds[0]
        and spread.max_scaled <= bounds[1]
        and spread.worst_row <= row_bound
    )


def _far(
    ours: torch.Tensor, oracle: torch.Tensor, spread: _Spread, bounds: tuple[float, float]
) -> torch.Tensor:
    """Elements to show: beyond the worst-element limit, else the ones that make the rms."""
    absolute = (ours - oracle).abs()
    far = absolute > bounds[1] * spread.scale
    return far if bool(far.any()) else absolute > 2 * bounds[0] * spread.scale


def _worst(ours: torch.Tensor, oracle: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    absolute = torch.where(finite, (ours - oracle).abs(), torch.zeros_like(ours))
    return absolute == absolute.max()


def _values_message(
    name: str, error: OutputError, wrong_class: torch.Tensor, compatible: bool
) -> tuple[str, str, str]:
    classes = int(wrong_class.sum())
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
    if compatible:
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


def _mismatch(
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


def _check_exact(
    name: str,
    got: torch.Tensor,
    expected: torch.Tensor,
    poison: int | None,
    axis_names: Sequence[str],
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
    return error, _mismatch(name, words, got, expected, bad, poison, axis_names)


def _shape_mismatch(name: str, got: torch.Tensor, expected: torch.Tensor) -> Mismatch:
    return Mismatch(
        kind="wrong_shape",
        message=f"Output {name!r} has shape {list(got.shape)}; {list(expected.shape)} is due.",
        remedy="Give every output exactly the definition's shape.",
    )
