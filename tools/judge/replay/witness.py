"""Bounds of a call's mean time by the judge's own clock, which device code cannot reach. Pure.

The runner makes batches of N (flush + call), and of N flushes. The difference, divided by N, is
what a call takes with what surrounds it, within the scatter of both. A reported mean that lies
below it by more than its error is refused.

The difference holds more than the span: after each launch the device takes a moment before it
begins the next. That part is measured with a kernel of known span and given as `surplus_ns`.

Method: difference of two means; the error adds their standard errors (Welch), times the quantile
of the confidence asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

CONFIDENCE_FACTOR = 3.5
"""Standard errors, about one false refusal in two thousand, for the few batches that there are."""
LEAST_BATCHES = 3
LEAST_ERROR_SHARE = 0.01
CLOCK_NS = 200.0
"""What one reading of the judge's clock and one passage through the socket scatter by, at least."""


@dataclass(frozen=True)
class Witness:
    """What the judge's own clock says of the mean call: nanoseconds."""

    mean_ns: float
    error_ns: float
    surplus_ns: float
    calls: int

    @property
    def least_ns(self) -> float:
        """No honest mean span lies below it."""
        return max(0.0, self.mean_ns - self.surplus_ns - self.error_ns)


def witness_of(
    with_calls_ns: Sequence[float],
    flushes_ns: Sequence[float],
    calls: int,
    *,
    surplus_ns: float,
    surplus_error_ns: float = 0.0,
) -> Witness:
    """The bound from batches of `calls` (flush + call), and of as many flushes.

    Args:
        with_calls_ns, flushes_ns: wall time of each batch, as the judge saw it.
        calls: in each batch.
        surplus_ns: per call, what the wall time holds beside the span.
        surplus_error_ns: how uncertain that is.

    Raises:
        ValueError: with fewer than three batches of a kind, or without calls.
    """
    if min(len(with_calls_ns), len(flushes_ns)) < LEAST_BATCHES or calls < 1:
        raise ValueError("The bound needs three batches of each kind")
    difference = (fmean(with_calls_ns) - fmean(flushes_ns)) / calls
    scatter = math.sqrt(
        variance(with_calls_ns) / len(with_calls_ns) + variance(flushes_ns) / len(flushes_ns)
    )
    error = CONFIDENCE_FACTOR * scatter / calls + CLOCK_NS / calls + surplus_error_ns
    return Witness(
        mean_ns=difference,
        error_ns=max(error, LEAST_ERROR_SHARE * max(difference, 0.0)),
        surplus_ns=surplus_ns,
        calls=calls,
    )


def contradicts(witness: Witness, reported_mean_ns: float) -> bool:
    """Whether a told mean span is shorter than the judge's own clock allows."""
    return reported_mean_ns < witness.least_ns


def calls_for(error_ns: float, batch_scatter_ns: float, batches: int) -> int:
    """Calls a batch, so that the bound's error is at most `error_ns`, when batches scatter so."""
    if error_ns <= 0:
        raise ValueError("The error asked for must be above nothing")
    scatter = batch_scatter_ns * math.sqrt(2 / max(batches, 1))
    return max(1, math.ceil((CONFIDENCE_FACTOR * scatter + CLOCK_NS) / error_ns))
