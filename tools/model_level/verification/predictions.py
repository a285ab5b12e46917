"""What kernels gain in a program by what their calls take, by Amdahl's law: pure.

The calls were timed in their places in the program, in turn with the original and the kernel, and
beside each turn a step as it is, which tells how fast that process was. So two processes that
differ by half a percent do not predict six times as fast where it is seven. What a step takes
besides is told of the same steps as the originals. The time of steps with the kernels is in none
of it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...evaluation.comparison import bootstrap_medians
from .verified_runs import AppliedTarget, Span, VerifiedRuns

DEVICE_BOUND = 0.9
"""A step is the device's time where the host needs less than this share of it."""
TAILS = (2.5, 97.5)
DEVIATIONS = 2
"""Within so many nearly all of what varies lies."""
LEAST_TURNS = 3
"""Fewer give no interval; calls that are repeated by themselves predict then."""
MOST_GAIN = 1000.0
"""That is predicted, also where calls save more than a step takes."""
HOST, DEVICE = 0, 1
"""Places of their times in a call's."""


@dataclass(frozen=True)
class Saved:
    """Microseconds of a step, with an interval of 95 %."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class PredictedTarget:
    """What one kernel does to a step.

    Args:
        saved_us: a step; negative where it is slower.
        original_us: of its calls in a step.
        kernel_us: the same with the kernel.
    """

    saved_us: Saved
    original_us: float
    kernel_us: float


@dataclass(frozen=True)
class PredictedGain:
    """How many times as fast steps become by what the calls save.

    Args:
        interval: of the gain, 95 % of the turns; of calls in their places and of repeated ones
            together where steps wait for the device; wider by how far processes differ.
        repeated: the gain by calls that are repeated by themselves, in caches of their own.
        turns: how often calls were timed in their places; 0: too seldom, and `repeated` it is.
        host_bound: whether steps wait for the host.
        whole: whether all calls are in it; those within compiled code cannot be.
    """

    gain: float
    interval: tuple[float, float]
    repeated: float
    turns: int
    host_bound: bool
    whole: bool
    targets: tuple[PredictedTarget, ...]


def predict(runs: VerifiedRuns, step_us: float) -> PredictedGain:
    """Predicts the gain of a program's steps.

    Args:
        step_us: median of a step without the kernels.
    """
    clocks = _clocks(runs, step_us)
    of_calls = [_calls(one, clocks, clocks.counts) for one in runs.targets]
    rest_us = _of_known(runs.rest_us) if clocks.turns == len(runs.rest_us) else None
    ways = [_interval(_saved(step_us, rest_us, clocks, of_calls))]
    alone = _interval(_sum([_repeated(one, clocks.repeated).saved for one in runs.targets]))
    most = math.inf
    if not clocks.host_bound:
        # Both ways are blind to something: caches that are too warm, clocks between the calls.
        ways.append(alone)
        # A step waits for the device until the host needs longer.
        of_host = _sum([_calls(one, clocks, HOST).saved for one in runs.targets])
        most = step_us - clocks.host_us + float(np.median(of_host))
    low, high = min(way.low for way in ways), max(way.high for way in ways)
    gains = [amdahl(step_us, min(us, most)) for us in (low, ways[0].median, high, alone.median)]
    spread = 1 + DEVIATIONS * _spread(runs)
    return PredictedGain(
        gains[1],
        (gains[0] / spread, gains[2] * spread),
        gains[3],
        clocks.turns,
        clocks.host_bound,
        not any(one.compiled for one in runs.targets),
        tuple(
            PredictedTarget(
                _interval(calls.saved),
                float(np.median(calls.original)),
                float(np.median(calls.kernel)),
            )
            for calls in of_calls
        ),
    )


def _saved(
    step_us: float, rest_us: np.ndarray | None, clocks: _Clocks, of_calls: Sequence[_Calls]
) -> np.ndarray:
    """Microseconds of a step that kernels save, at each turn.

    What a step takes with them is what it takes besides, and their own time. To take what they save
    from another step's time would make much of little: where a part takes six sevenths, steps that
    differ by two percent would predict six times as fast, and eight.
    """
    if rest_us is None or not clocks.turns:
        return _sum([calls.saved for calls in of_calls])
    return step_us - rest_us / np.array(clocks.levels) - _sum([calls.kernel for calls in of_calls])


def _spread(runs: VerifiedRuns) -> float:
    """How far processes differ in speed: the standard deviation of a run's median, relatively.

    The calls were timed in one of them, and are to tell of another.
    """
    off: list[float] = []
    runs_of = [[run.step_ns for run in side if run.step_ns] for side in (runs.before, runs.after)]
    for side in runs_of:
        medians = [statistics.median(steps) for steps in side]
        off += [median / statistics.fmean(medians) - 1 for median in medians]
    free = len(off) - sum(1 for side in runs_of if side)
    return math.sqrt(sum(one * one for one in off) / free) if free > 0 else 0.0


def _of_known(rest_us: Sequence[float | None]) -> np.ndarray | None:
    """At each turn, where it is not known the median; None where calls overlap, or nothing is."""
    known = [us for us in rest_us if us is not None]
    if not known or min(known) <= 0:
        return None
    median = statistics.median(known)
    return np.array([median if us is None else us for us in rest_us])


def amdahl(step_us: float, saved_us: float) -> float:
    """How many times as fast a step becomes that is shorter by some time."""
    return step_us / max(step_us - saved_us, step_us / MOST_GAIN) if step_us else 1.0


@dataclass(frozen=True)
class _Clocks:
    """By which times calls are compared.

    Args:
        host_us: median of the host's in a step without the kernels.
        levels: how much slower than other processes the one was in which calls were timed, at each
            turn; empty where there are too few.
    """

    host_us: float
    host_bound: bool
    levels: tuple[float, ...]

    @property
    def turns(self) -> int:
        """How many there are of calls in their places."""
        return len(self.levels)

    @property
    def repeated(self) -> int:
        """Which time of a call counts that is repeated: of what a step waits for."""
        return HOST if self.host_bound else DEVICE

    @property
    def counts(self) -> int:
        """Which time of a call counts; in its place the device's has the waiting in it."""
        return DEVICE if self.levels else self.repeated


def _clocks(runs: VerifiedRuns, step_us: float) -> _Clocks:
    host = [ns / 1e3 for run in runs.before for ns in run.host_ns]
    host_us = statistics.median(host) if host else 0.0
    levels: list[float] = []
    steps = [ns for run in runs.before for ns in run.step_ns]
    for place, ns in runs.plain_ns if steps else ():
        beside = [run.step_ns[place] for run in runs.before if place < len(run.step_ns)]
        levels.append(ns / statistics.median(beside or steps))
    enough = len(levels) >= LEAST_TURNS
    bound = bool(host) and host_us > DEVICE_BOUND * step_us
    return _Clocks(host_us, bound, tuple(levels) if enough else ())


@dataclass(frozen=True)
class _Calls:
    """Time of all calls of a target in a step at each turn, with the original and the kernel."""

    original: np.ndarray
    kernel: np.ndarray

    @property
    def saved(self) -> np.ndarray:
        """By the kernel."""
        return self.original - self.kernel


def _calls(one: AppliedTarget, clocks: _Clocks, clock: int) -> _Calls:
    """Those in their places; where there are too few turns those that were repeated."""
    if not clocks.turns:
        return _repeated(one, clock)
    found = _Calls(np.zeros(clocks.turns), np.zeros(clocks.turns))
    for call in one.calls:
        original, kernel = (
            _of_turns(row, clock) for row in (call.placed_original_us, call.placed_kernel_us)
        )
        if original is None or kernel is None:
            # Of shapes that steps of one kind alone had, the calls that were repeated tell.
            rows = (call.original_us, call.kernel_us)
            original, kernel = (np.median([us[clock] for us in row]) for row in rows)
        found.original[:] += call.calls * original / np.array(clocks.levels)
        found.kernel[:] += call.calls * kernel / np.array(clocks.levels)
    return found


def _of_turns(spans: Sequence[Span | None], clock: int) -> np.ndarray | None:
    """Time of a call at each turn, where there was none the median; None without any."""
    known = [span[clock] for span in spans if span is not None]
    if not known:
        return None
    median = statistics.median(known)
    return np.array([median if span is None else span[clock] for span in spans])


def _repeated(one: AppliedTarget, clock: int) -> _Calls:
    """Those that were repeated by themselves, in each round."""
    original, kernel = (
        _sum([np.array([call.calls * us[clock] for us in row]) for call, row in rows])
        for rows in (
            [(call, call.original_us) for call in one.calls],
            [(call, call.kernel_us) for call in one.calls],
        )
    )
    return _Calls(original, kernel)


def _sum(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The sum at each turn; of targets without calls none is saved."""
    longest = max((len(row) for row in rows), default=1)
    return np.sum([row for row in rows if len(row) == longest] or [np.zeros(1)], axis=0)


def _interval(each: np.ndarray) -> Saved:
    resampled = bootstrap_medians(each, [list(range(len(each)))])
    low, high = np.percentile(resampled, TAILS)
    return Saved(float(np.median(each)), float(low), float(high))
