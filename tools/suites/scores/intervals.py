"""Shares and means of tasks with their intervals, and the values that a curve is drawn of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
RESAMPLES = 2_000


@dataclass(frozen=True)
class Share:
    """A share of tasks, with Wilson's interval; of no task there is none."""

    count: int
    of: int
    share: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Curve:
    """Values of the tasks that have one, among all that count.

    Args:
        of: how many tasks count; those without a value lie below every threshold.
    """

    name: str
    values: tuple[float, ...]
    of: int

    def share_above(self, threshold: float) -> float:
        """The share of tasks whose value is greater."""
        return sum(value > threshold for value in self.values) / self.of if self.of else 0.0


def share_of(count: int, of: int) -> Share:
    """A share with its interval."""
    from scipy.stats import binomtest

    if not of:
        return Share(count, of, None, None)
    interval = binomtest(count, of).proportion_ci(CONFIDENCE, method="wilson")
    return Share(count, of, count / of, (float(interval.low), float(interval.high)))


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The bootstrap interval of a mean, by percentiles; the same for the same values."""
    import numpy as np

    if len(values) < 2:
        return None
    found = np.asarray(values)
    drawn = np.random.default_rng(0).integers(len(found), size=(RESAMPLES, len(found)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(found[drawn].mean(axis=1), (tail, 100 - tail))
    return float(low), float(high)


def geometric_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The bootstrap interval of a geometric mean."""
    import numpy as np

    interval = mean_interval(np.log(np.asarray(values)).tolist()) if len(values) > 1 else None
    return (float(np.exp(interval[0])), float(np.exp(interval[1]))) if interval else None
