"""Timed calls in order, and the interval that decides when there are enough of them.

Pure. The statistics of a record are computed by tools/evaluation/comparison.py; the interval here
only stops the sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...messages.launches import Activity
from ...schema.measurement import KernelTime, Measurement, Objective
from ..calls.judged_call import CallOutcome

Z_99 = 2.576
CLAIM = "the candidate's own process told the times"


@dataclass
class Samples:
    """Timed calls of one solution on one workload, in order.

    Args:
        spans_ns: of the calls that are compared.
        warm_ns: of calls beside them, with a warm cache.
    """

    spans_ns: list[int] = field(default_factory=list)
    warm_ns: list[int] = field(default_factory=list)
    host_ns: list[int] = field(default_factory=list)
    block: list[int] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    activities: list[list[Activity]] = field(default_factory=list)

    def add(self, outcome: CallOutcome, block: int, at_s: float) -> None:
        """Adds one call."""
        assert outcome.called.span_ns is not None
        self.spans_ns.append(outcome.called.span_ns)
        self.host_ns.append(outcome.called.host_ns or 0)
        self.block.append(block)
        self.at_s.append(at_s)
        self.activities.append(outcome.called.activities)

    def add_times(self, times_ns: Sequence[int], block: int, at_s: float) -> None:
        """Adds times of which nothing else is known."""
        self.spans_ns += times_ns
        self.block += [block] * len(times_ns)
        self.at_s += [at_s] * len(times_ns)

    def measurement(
        self,
        timer: str,
        throttled: Callable[[float], bool],
        claim: str = CLAIM,
        ranked_by: Objective = Objective.COLD,
    ) -> Measurement:
        """The record of these samples; `claim` says why they are not sealed."""
        cold = ranked_by is Objective.COLD
        return Measurement(
            timer=timer,
            cold_ns=self.spans_ns,
            warm_ns=self.warm_ns,
            host_ns=self.host_ns,
            ranked_by=ranked_by,
            block=self.block if cold else [],
            set_aside=[i for i, at in enumerate(self.at_s) if throttled(at)] if cold else [],
            kernels=kernel_times(self.activities),
            clock_reason=claim,
        )


def by_host(measurement: Measurement | None) -> Measurement | None:
    """The same samples, ranked by host time: work may be hidden before a call's kernels begin."""
    return measurement and measurement.model_copy(update={"by_host": True})


def log_ratios(ours: Samples, theirs: Samples) -> np.ndarray:
    """ln(baseline / candidate) of each pair of calls; ln(latency) without a baseline."""
    own = np.log(np.maximum(np.array(ours.spans_ns, dtype=float), 1.0))
    if len(theirs.spans_ns) != len(ours.spans_ns):
        return own
    return np.log(np.maximum(np.array(theirs.spans_ns, dtype=float), 1.0)) - own


def half_width(values: np.ndarray) -> float:
    """Half the width of the 99 % order-statistic interval of the median; infinite below 8 values.

    Distribution-free, from the binomial's normal approximation (Conover, Practical Nonparametric
    Statistics). 99 % and not 95, because it is tested repeatedly until it is narrow enough.
    """
    count = len(values)
    if count < 8:
        return math.inf
    ordered = np.sort(values)
    reach = Z_99 * math.sqrt(count) / 2
    low = max(math.floor(count / 2 - reach) - 1, 0)
    high = min(math.ceil(count / 2 + reach), count - 1)
    return float(ordered[high] - ordered[low]) / 2


def more_pairs(values: np.ndarray, narrow: float) -> int:
    """How many more values the interval needs to be as narrow as `narrow`, half its width.

    An interval's width falls with the square root of their number. Zero below 8 values, of which
    nothing is known, and where it is narrow enough. Asked for at once they take fewer turns, each
    of which takes longer than the calls in it.
    """
    wide = half_width(values)
    if math.isinf(wide) or wide <= narrow:
        return 0
    return max(0, math.ceil(len(values) * ((wide / max(narrow, 1e-6)) ** 2 - 1)))


def kernel_times(calls: Sequence[Sequence[Activity]]) -> list[KernelTime]:
    """Device time by kernel name and origin over all calls, the longest first."""
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for call in calls:
        for activity in call:
            key = (activity.name, activity.origin)
            launches, spent = totals.get(key, (0, 0))
            totals[key] = (launches + 1, spent + max(activity.end_ns - activity.start_ns, 0))
    every = sum(spent for _, spent in totals.values()) or 1
    times = [
        KernelTime(
            name=name,
            launches=launches,
            share=spent / every,
            microseconds=spent / 1e3,
            origin=origin,
        )
        for (name, origin), (launches, spent) in totals.items()
    ]
    return sorted(times, key=lambda k: -k.microseconds)
