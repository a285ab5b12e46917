"""The time budget of a trial and its end, estimates of cases, and times of stages."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...errors import HarnessError
from ...schema.evaluation import Failure, Stage, Status
from ..trial_parts import TrialParts

HOST_RATE = 3e8
RATES = {"triton": 1e7}
"""Bytes and FLOPs per second assumed without a GPU, until two different cases were timed."""


AFTER_FAILURE_S, AFTER_FAILURE_ON_DEVICE_S = 1.0, 0.1
"""On a device a call takes milliseconds, and compiling for another workload most of a second."""
ENDED_REMEDY = "Evaluate fewer or smaller workloads, or make it quicker to compile."


class Estimate:
    """Estimates the seconds of a case from its work and the cases before it.

    Args:
        rate: work per second that is reached at least. It bounds the slope concluded from a single
            small case, whose time is mostly overhead.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._points: list[tuple[float, float]] = []

    def add(self, work: float, seconds: float) -> None:
        """Adds the time of one call, the judge's own work included."""
        self._points.append((max(work, 1.0), seconds))

    def seconds(self, work: float) -> float:
        """Extrapolates linearly from the least and the greatest work so far."""
        if not self._points:
            return 0.0
        low, high = min(self._points), max(self._points)
        slope = min(high[1] / high[0], 1 / self._rate)
        if high[0] > low[0]:
            slope = max(0.0, (high[1] - low[1]) / (high[0] - low[0]))
        return max(high[1] + slope * (work - high[0]), 0.0)


@dataclass(frozen=True)
class TimeBudget:
    """The time budget of a trial: the candidate's, and one of the same length for the reference.

    Args:
        deadline: on the monotonic clock; cases that would end after it are not run, but for the
            time that the reference took.
        call_timeout_s: a longer call ends the candidate.
        interpreted: whether candidates run without a GPU.
        rate: bytes and FLOPs per second that are assumed at first.
        budget_s: seconds of each of the two.
        reference_s: gives the seconds that inputs and the reference took since the candidate's
            time began.
    """

    deadline: float
    call_timeout_s: float
    interpreted: bool
    rate: float
    budget_s: float = math.inf
    reference_s: Callable[[], float] = lambda: 0.0

    @property
    def left_s(self) -> float:
        """Seconds of the candidate's budget that are left; the reference takes none of them."""
        return self.deadline + self.reference_s() - time.monotonic()

    @property
    def reference_left_s(self) -> float:
        """Seconds that inputs and the reference may still take."""
        return self.budget_s - self.reference_s()

    @property
    def after_failure_s(self) -> float:
        """Seconds for finding further failing workloads after the first."""
        return AFTER_FAILURE_S if self.interpreted else AFTER_FAILURE_ON_DEVICE_S

    def lacking(self, needed_s: float, reference_needed_s: float) -> str:
        """Whose time does not suffice for a case, in words; empty when it can be run.

        Args:
            needed_s, reference_needed_s: estimates, which bound what is run without a GPU only.
        """
        where = "without a GPU" if self.interpreted else "here"
        for who, needed, left in (
            ("the reference", reference_needed_s, self.reference_left_s),
            ("the candidate", needed_s, self.left_s),
        ):
            if left <= 0:
                return f"{who} had used up its own budget of {self.budget_s:g} s {where}"
            if self.interpreted and needed > left:
                return (
                    f"about {needed:.1f} s would be needed {where} by {who}; {left:.1f} s "
                    f"of its own budget of {self.budget_s:g} s were left"
                )
        return ""


class StageTimes:
    """Wall time by stage, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def shared(self, reference_s: float, meanwhile_s: float) -> None:
        """Notes the reference's seconds, and the candidate's: its stages without the reference.

        Args:
            meanwhile_s: those of the reference that fell into the candidate's stages.
        """
        stages = ("correctness", "timing", "timing_held_out")
        spent = sum(self.seconds.get(stage, 0.0) for stage in stages)
        self.seconds["reference"] = round(reference_s, 4)
        self.seconds["candidate"] = round(max(spent - meanwhile_s, 0.0), 4)

    @contextlib.contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Adds the duration of the context to a stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.add(stage, time.monotonic() - began)

    def add(self, stage: str, seconds: float) -> None:
        """Adds seconds to those of a stage."""
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 4)


def in_time(
    parts: TrialParts,
    carry_out: Callable[[], tuple[Status, Failure] | None],
    timed_any: Callable[[], bool],
) -> tuple[tuple[Status, Failure] | None, str | None]:
    """Carries a trial out until its plan's end: its failure, and in words that it was ended.

    What was timed until then stands, and nothing failed; else the end is a timeout. What a trial
    says of processes that were ended under it is of no candidate's making.

    Args:
        timed_any: says whether a workload has a time.
    """
    failed: tuple[Status, Failure] | None = None
    cancellation, ends_after_s = parts.cancellation, parts.plan.ends_after_s
    try:
        with cancellation.due_in(ends_after_s):
            failed = carry_out()
    except HarnessError:
        if not cancellation.overdue:
            raise
    if not cancellation.overdue:
        return failed, None
    words = f"It was ended after {ends_after_s:g} s, the longest that its plan allows."
    if timed_any():
        return None, words
    failure = Failure(stage=Stage.TIMING, kind="timeout", message=words, remedy=ENDED_REMEDY)
    return (Status.TIMEOUT, failure), words
