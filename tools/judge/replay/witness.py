"""Bounds of a call's mean time by the judge's own clock, which device code cannot reach. Pure.

The runner makes batches of N (flush + call), and of N flushes, in turn. The difference, divided by
N, is what a call takes with what surrounds it, within the scatter of the pairs. A reported mean
that lies below it by more than its error is refused. In a graph the gaps between a call's kernels
are shorter than where its replays are timed: the bound is a lower one, and never an estimate.

The difference holds more than the span: after each launch the device takes a moment before it
begins the next. That part is measured with a kernel of known span and given as `surplus_ns`.

Method: the mean of paired differences, so that what drifts slowly falls out; the error is their
standard error times the quantile of Student's t of the confidence asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

T_QUANTILES = {
    2: 31.60, 3: 12.92, 4: 8.610, 5: 6.869, 6: 5.959, 7: 5.408, 8: 5.041, 9: 4.781, 10: 4.587,
    12: 4.318, 15: 4.073, 20: 3.850, 30: 3.646,
}  # fmt: skip
"""Of Student's t at 0.9995, by degrees of freedom: one false refusal in two thousand."""
LEAST_BATCHES = 3
LEAST_ERROR_SHARE = 0.02
"""Batches back to back draw more power than calls one by one, and the clock follows: calls of
187 µs on an H200 took 1.5 % longer in them."""
SAME_SHARE = 0.05
"""By which one cold call on the same inputs may be shorter than others."""
CLOCK_NS = 200.0
"""What one reading of the judge's clock and one passage through the socket scatter by, at least."""


@dataclass(frozen=True)
class Witness:
    """What the judge's own clock says of the mean call: nanoseconds.

    Args:
        standard_error_ns: of the mean, over `batches` pairs of batches.
        note: why the batches were not in graphs; empty where they were.
    """

    mean_ns: float
    error_ns: float
    surplus_ns: float
    calls: int
    standard_error_ns: float = 0.0
    batches: int = 0
    note: str = ""

    @property
    def least_ns(self) -> float:
        """No honest mean span lies below it."""
        return max(0.0, self.mean_ns - self.surplus_ns - self.error_ns)


@dataclass(frozen=True)
class SecondLook:
    """A timed call drawn by chance, its inputs replayed again and the bound on these very inputs.

    What a call takes may depend on its inputs: routed tokens, lengths. Then the mean over many
    inputs and the bound on a single one say nothing of each other. The call that was drawn ties
    them: device code that shortens what is told of timed calls does not know which is drawn.

    Args:
        reported_ns: the span that was told of it when it was timed.
        again_ns: spans of replays of its inputs since.
        witness: of calls on its inputs.
    """

    reported_ns: float
    again_ns: tuple[float, ...]
    witness: Witness

    @property
    def agrees(self) -> bool:
        """Whether what was told of it is what it takes, and that is no less than the bound."""
        if not self.again_ns:
            return False
        mean = fmean(self.again_ns)
        return self.reported_ns >= (1.0 - SAME_SHARE) * mean and not contradicts(self.witness, mean)


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
        with_calls_ns, flushes_ns: wall time of each batch, as the judge saw it; neighbours in time
            stand at the same place of both.
        calls: in each batch.
        surplus_ns: per call, what the wall time holds beside the span.
        surplus_error_ns: how uncertain that is.

    Raises:
        ValueError: with fewer than three batches of a kind, or without calls.
    """
    if min(len(with_calls_ns), len(flushes_ns)) < LEAST_BATCHES or calls < 1:
        raise ValueError("The bound needs three batches of each kind")
    each = [(a - b) / calls for a, b in zip(with_calls_ns, flushes_ns, strict=True)]
    mean, scatter = fmean(each), standard_error(each)
    error = t_quantile(len(each) - 1) * scatter + CLOCK_NS / calls + surplus_error_ns
    return Witness(
        mean_ns=mean,
        error_ns=max(error, LEAST_ERROR_SHARE * max(mean, 0.0)),
        surplus_ns=surplus_ns,
        calls=calls,
        standard_error_ns=scatter,
        batches=len(each),
    )


def contradicts(witness: Witness, reported_mean_ns: float) -> bool:
    """Whether a reported mean span is shorter than the judge's own clock allows."""
    return reported_mean_ns < witness.least_ns


def standard_error(values: Sequence[float]) -> float:
    """The standard error of a mean of two values or more."""
    return stdev(values) / math.sqrt(len(values))


def t_quantile(freedom: int) -> float:
    """The quantile for at least two degrees of freedom; between two of the table, the larger."""
    return T_QUANTILES[max(known for known in T_QUANTILES if known <= freedom)]
