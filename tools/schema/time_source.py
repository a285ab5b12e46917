"""Whether an evaluation's times are sealed or claimed, and why; decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .evaluation import Evaluation, WorkloadResult
from .measurement import Measurement, TimeSource

UNSEALABLE = "it was timed before times could be sealed"
"""The reason of records that give none."""
BY_HOST = "it is ranked by host time, which the candidate's own process told"
NO_SAMPLES = "the record holds a latency without the samples it was taken from"


@dataclass(frozen=True)
class Clock:
    """Where times come from; `reason` is empty for sealed ones."""

    source: TimeSource
    reason: str = ""

    @property
    def words(self) -> str:
        """`sealed`, or `claimed: ` and the reason."""
        return f"{self.source}: {self.reason}" if self.reason else str(self.source)


def workload_clock(result: WorkloadResult) -> Clock | None:
    """The clock of one workload's times; None when it was not timed.

    Sealed only when the candidate's times and the baseline's both are.
    """
    if result.measurement is None:
        untimed = result.latency_us is None
        return None if untimed else Clock(TimeSource.CLAIMED, NO_SAMPLES)
    for measurement in filter(None, (result.measurement, result.baseline_measurement)):
        if reason := _claim(measurement):
            return Clock(TimeSource.CLAIMED, reason)
    return Clock(TimeSource.SEALED)


def evaluation_clock(evaluation: Evaluation) -> Clock | None:
    """The clock of an evaluation: sealed when every timed workload is; None when none was timed.

    Of an evaluation that is claimed in part or in whole the reason is that of its first claimed
    workload.
    """
    return _first_claimed(workload_clock(result) for result in evaluation.workloads)


def _first_claimed(clocks: Iterable[Clock | None]) -> Clock | None:
    known = [clock for clock in clocks if clock is not None]
    claimed = (clock for clock in known if clock.source is TimeSource.CLAIMED)
    return next(claimed, known[0] if known else None)


def _claim(measurement: Measurement) -> str:
    """Why a measurement is only claimed; empty when it is sealed."""
    if measurement.clock is TimeSource.CLAIMED:
        return measurement.clock_reason or UNSEALABLE
    return BY_HOST if measurement.by_host else ""
