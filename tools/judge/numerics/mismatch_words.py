"""What a mismatch of values is told by: its kind, its figures, and what to do."""

from __future__ import annotations

from ...schema.evaluation import OutputError

BY_HAND = (
    "Compare the worst element with the reference by hand; the place of the mismatches usually "
    "names the faulty index computation."
)


def outside_message(
    classes: int, error: OutputError, atol: float, rtol: float, due: float
) -> tuple[str, str, str]:
    """Kind, message and remedy of an output that is judged by the published criterion alone."""
    if classes:
        return _nonfinite_message(classes)
    share = _number(error.matched_ratio)
    return (
        "wrong_values",
        f"a share of {share} of the elements is within atol {atol:g} and rtol "
        f"{rtol:g} (due: {due:g}); the largest absolute error is "
        f"{_number(error.max_absolute)}",
        BY_HAND,
    )


def zeros_message() -> tuple[str, str, str]:
    """Kind, message and remedy of zeros where the reference has other values."""
    return (
        "wrong_values",
        "every element is zero, which passes for nothing however small the expected values are",
        "Look for outputs that no kernel writes.",
    )


def capped_message(error: OutputError, most: float) -> tuple[str, str, str]:
    """Kind, message and remedy of an error that is larger than any element may have."""
    return (
        "wrong_values",
        f"the largest absolute error is {_number(error.max_absolute)}; no element may have more "
        f"than {most:g}",
        BY_HAND,
    )


def _nonfinite_message(classes: int) -> tuple[str, str, str]:
    return (
        "wrong_nonfinite",
        f"{classes} elements are NaN or infinite where the reference is not, or the reverse",
        "Check for division by zero, overflow, uninitialised reads, and rows that are fully "
        "masked; NaN and infinities must stand exactly where the reference has them.",
    )


def values_message(classes: int, error: OutputError) -> tuple[str, str, str]:
    """Kind, message and remedy of an output that is judged by both criteria."""
    if classes:
        return _nonfinite_message(classes)
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
        BY_HAND,
    )


def _number(value: float | str | None) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "unbounded"
