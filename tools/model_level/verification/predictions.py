"""What kernels gain in a program by what their calls take, by Amdahl's law: pure.

A step is its calls of the targets, and the rest. With the kernels it is predicted to take the rest
as it was, and the kernels' calls; the time of steps that are run with the kernels is in none of it.

Calls were timed in two ways. *Placed*, where the program makes them, at several turns, each beside
a step that was left alone: by that one all times of a turn are scaled to how fast other processes
are. Processes that differ by half a percent would predict six times as fast where it is seven.
*Repeated*, by themselves, where they find their arguments in caches.

Placed calls predict. Where steps wait for the device the interval spans what repeated ones predict,
for each way is blind to something: the one to clocks between calls, the other to caches. And it is
wider by how far processes differ in speed, for calls were timed in one of them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...evaluation.comparison import bootstrap_medians
from .verified_runs import Span, TimedCall, VerifiedRuns

DEVICE_BOUND = 0.9
"""A step is the device's time where the host needs less than this share of it."""
TAILS = (2.5, 97.5)
DEVIATIONS = 2
"""Within so many nearly all of what varies lies."""
LEAST_TURNS = 3
"""Fewer give no interval; repeated calls predict then."""
MOST_GAIN = 1000.0
"""That is predicted, also where calls save more than a step takes."""
HOST, DEVICE = 0, 1
"""Places of their times in a call's."""


@dataclass(frozen=True)
class StepTime:
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

    saved_us: StepTime
    original_us: float
    kernel_us: float


@dataclass(frozen=True)
class PredictedGain:
    """How many times as fast steps become by what the calls save.

    Args:
        interval: of the gain, 95 %.
        repeated: the gain by repeated calls.
        turns: how often placed calls were timed; 0: too seldom, and `repeated` it is.
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
    host_ns = [ns for run in runs.before for ns in run.host_ns]
    host_us = statistics.median(host_ns) / 1e3 if host_ns else 0.0
    host_bound = bool(host_ns) and host_us > DEVICE_BOUND * step_us
    placed = _placed_parts(runs, step_us, DEVICE)
    repeated = _repeated_parts(runs, step_us, HOST if host_bound else DEVICE)
    parts, least_us = placed or repeated, 0.0
    expected, alone = _step_time(parts.with_kernels), _step_time(repeated.with_kernels)
    low, high = expected.low, expected.high
    if not host_bound:
        low, high = min(low, alone.low), max(high, alone.high)
        # A step waits for the device until the host needs longer.
        of_host = _placed_parts(runs, step_us, HOST) or _repeated_parts(runs, step_us, HOST)
        least_us = host_us - float(np.median(of_host.saved))

    def gain(us: float) -> float:
        return step_us / max(us, least_us, step_us / MOST_GAIN) if step_us else 1.0

    spread = 1 + DEVIATIONS * _spread(runs)
    return PredictedGain(
        gain(expected.median),
        (gain(high) / spread, gain(low) * spread),
        gain(alone.median),
        len(runs.turns) if placed else 0,
        host_bound,
        not any(one.compiled for one in runs.targets),
        tuple(
            PredictedTarget(
                _step_time(original - kernel),
                float(np.median(original)),
                float(np.median(kernel)),
            )
            for original, kernel in zip(parts.originals, parts.kernels, strict=True)
        ),
    )


@dataclass(frozen=True)
class _StepParts:
    """A step in microseconds by its parts, each as often as they were timed.

    Args:
        rest: besides the calls of all targets.
        originals: the calls of each target, in the order of the targets.
        kernels: the same, with the kernels.
    """

    rest: np.ndarray
    originals: np.ndarray
    kernels: np.ndarray

    @property
    def with_kernels(self) -> np.ndarray:
        """What a step takes with the kernels."""
        return self.rest + self.kernels.sum(axis=0)

    @property
    def saved(self) -> np.ndarray:
        """What a step takes less with the kernels."""
        return (self.originals - self.kernels).sum(axis=0)


def _placed_parts(runs: VerifiedRuns, step_us: float, clock: int) -> _StepParts | None:
    """By placed calls, at each turn; None where there are too few turns."""
    slower = _slower(runs)
    if len(slower) < LEAST_TURNS:
        return None

    def both(call: TimedCall) -> np.ndarray:
        original, kernel = (
            _of_turns(spans, clock) for spans in (call.placed.original, call.placed.kernel)
        )
        if original is None or kernel is None:
            # Of shapes that steps of one kind alone had, repeated calls tell.
            return np.median(_of_rounds(call, clock), axis=1, keepdims=True)
        return np.array([original, kernel])

    originals, kernels = _of_targets(runs, len(slower), both)
    rest = np.array([turn.rest_us for turn in runs.turns])
    if rest.min() <= 0:
        # Calls overlap, on several streams or threads: what they save is taken from a step.
        rest = step_us * slower - originals.sum(axis=0)
    return _StepParts(rest / slower, originals / slower, kernels / slower)


def _repeated_parts(runs: VerifiedRuns, step_us: float, clock: int) -> _StepParts:
    """By repeated calls, in each round."""
    rounds = {len(call.repeated.original) for one in runs.targets for call in one.calls}
    originals, kernels = _of_targets(
        runs, max(rounds, default=1), lambda call: _of_rounds(call, clock)
    )
    return _StepParts(step_us - originals.sum(axis=0), originals, kernels)


def _of_targets(
    runs: VerifiedRuns, times: int, both: Callable[[TimedCall], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What the calls of each target take in a step, with the originals and with the kernels.

    Args:
        times: how often each was timed.
        both: rows of a call, with the original and with the kernel.
    """
    found = np.zeros((2, len(runs.targets), times))
    for number, target in enumerate(runs.targets):
        for call in target.calls:
            found[:, number] += call.calls * both(call)
    return found[0], found[1]


def _of_turns(spans: Sequence[Span | None], clock: int) -> np.ndarray | None:
    """Time of a call at each turn, where there was none the median; None without any."""
    known = [span[clock] for span in spans if span is not None]
    if not known:
        return None
    median = statistics.median(known)
    return np.array([median if span is None else span[clock] for span in spans])


def _of_rounds(call: TimedCall, clock: int) -> np.ndarray:
    """Time of a repeated call in each round, with the original and with the kernel."""
    return np.array([call.repeated.original, call.repeated.kernel])[:, :, clock]


def _slower(runs: VerifiedRuns) -> np.ndarray:
    """How many times as long a step takes in the run in which calls were timed, at each turn."""
    steps = [run.step_ns for run in runs.before if run.step_ns]
    beside = [[one[turn.place] for one in steps if turn.place < len(one)] for turn in runs.turns]
    every = [ns for one in steps for ns in one]
    return np.array(
        [
            turn.plain_ns / statistics.median(ns or every)
            for turn, ns in zip(runs.turns, beside, strict=True)
            if every
        ]
    )


def _spread(runs: VerifiedRuns) -> float:
    """How far processes differ in speed: the standard deviation of a run's median, relatively."""
    off: list[float] = []
    runs_of = [[run.step_ns for run in side if run.step_ns] for side in (runs.before, runs.after)]
    for side in runs_of:
        medians = [statistics.median(steps) for steps in side]
        off += [median / statistics.fmean(medians) - 1 for median in medians]
    free = len(off) - sum(1 for side in runs_of if side)
    return math.sqrt(sum(one * one for one in off) / free) if free > 0 else 0.0


def _step_time(each: np.ndarray) -> StepTime:
    resampled = bootstrap_medians(each, [list(range(len(each)))])
    low, high = np.percentile(resampled, TAILS)
    return StepTime(float(np.median(each)), float(low), float(high))
