"""What kernels gain in a program, measured and predicted, and which one is to blame: pure.

Measured are steps of runs with the kernels against steps at the same place of the runs beside
them without: paired, in turn, with an interval that knows that runs differ more than steps of one.
Predicted is what the calls that the program makes save by themselves, by Amdahl's law.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ...evaluation.comparison import bootstrap_medians, compare
from ...schema.measurement import Decision, Measurement
from .verified_runs import AppliedTarget, OutputDrift, TimedCall, TimedRun, VerifiedRuns

TOLERANCES = {"float64": 1e-9, "float32": 1e-3, "float16": 1e-2, "bfloat16": 3e-2}
"""Relative drift of a model's outputs that other orders of summation explain, by type."""
OTHER_TOLERANCE = 3e-2
DEVICE_BOUND = 0.9
"""A step is the device's time where the host needs less than this share of it."""
TAILS = (2.5, 97.5)


class ModelVerdict(StrEnum):
    """What became of the program."""

    FASTER = "FASTER"
    EQUAL = "EQUAL"
    SLOWER = "SLOWER"
    INCONCLUSIVE = "INCONCLUSIVE"
    DRIFTED = "DRIFTED"
    """Its outputs are further from what they were than rounding explains."""
    NOT_REPEATABLE = "NOT_REPEATABLE"
    """Two runs without the kernels differ by more, so that nothing can be said of outputs."""
    NOT_APPLIED = "NOT_APPLIED"
    """No kernel was called."""


@dataclass(frozen=True)
class TargetGain:
    """What one kernel does to a step.

    Args:
        saved_us: a step, by its calls alone; negative where it is slower.
        interval_us: of that, 95 %.
        original_us: of its calls in a step.
        kernel_us: the same with the kernel.
        drifted: whether a call's output is further off than rounding explains.
    """

    applied: AppliedTarget
    saved_us: float
    interval_us: tuple[float, float]
    original_us: float
    kernel_us: float
    drifted: bool


@dataclass(frozen=True)
class ModelComparison:
    """A program with kernels against itself without.

    Args:
        before_us: median of a step.
        gain: how many times as fast the steps are, the median over pairs.
        interval: of that, 95 %; None for fewer than five pairs.
        predicted: the same by the calls alone, and its interval.
        agree: whether both intervals have a number in common; None where one is not known.
        host_bound: whether steps wait for the host, whose time is then what calls are compared by.
        to_blame: the targets that are slower than what they stand for, or give something else.
    """

    verdict: ModelVerdict
    runs: VerifiedRuns
    tolerance: float
    before_us: float
    after_us: float
    gain: float | None
    interval: tuple[float, float] | None
    pairs: int
    predicted: float
    predicted_interval: tuple[float, float]
    agree: bool | None
    host_bound: bool
    targets: tuple[TargetGain, ...]
    to_blame: tuple[str, ...]


def compare_runs(runs: VerifiedRuns, tolerance: float | None = None) -> ModelComparison:
    """Compares a program's runs.

    Args:
        tolerance: relative drift that is allowed; None: by the outputs' type.
    """
    allowed = tolerance
    if allowed is None:
        allowed = TOLERANCES.get(runs.drift.dtype, OTHER_TOLERANCE)
    before, after, blocks = _paired(runs)
    paired = compare(_measured(before, blocks), _measured(after, blocks), {})
    before_us = statistics.median(before) / 1e3 if before else 0.0
    after_us = statistics.median(after) / 1e3 if after else 0.0
    host_us = [ns / 1e3 for run in runs.before for ns in run.host_ns]
    host_bound = bool(host_us) and statistics.median(host_us) > DEVICE_BOUND * before_us
    targets = tuple(_target(one, int(not host_bound), tolerance) for one in runs.targets)
    saved = sum(one.saved_us for one in targets)
    low, high = (sum(one.interval_us[n] for one in targets) for n in (0, 1))
    predicted_interval = _amdahl(before_us, low), _amdahl(before_us, high)
    interval = paired.interval if paired else None
    verdict = _verdict(runs, allowed, paired.decision if paired else None)
    return ModelComparison(
        verdict,
        runs,
        allowed,
        before_us,
        after_us,
        paired.ratio if paired else None,
        interval,
        len(before),
        _amdahl(before_us, saved),
        predicted_interval,
        None
        if interval is None
        else interval[0] <= predicted_interval[1] and predicted_interval[0] <= interval[1],
        host_bound,
        targets,
        _to_blame(verdict, targets),
    )


def _paired(runs: VerifiedRuns) -> tuple[list[int], list[int], list[int]]:
    """Steps without the kernels and with them, each beside the other, and the pair of runs."""
    before: list[int] = []
    after: list[int] = []
    blocks: list[int] = []
    for number, (one, other) in enumerate(zip(runs.before, runs.after, strict=True)):
        for without, with_kernels in zip(one.step_ns, other.step_ns, strict=False):
            before.append(without)
            after.append(with_kernels)
            blocks.append(number)
    return before, after, blocks


def _measured(samples: Sequence[int], blocks: Sequence[int]) -> Measurement:
    return Measurement(timer="host", cold_ns=list(samples), block=list(blocks))


def _amdahl(step_us: float, saved_us: float) -> float:
    """How many times as fast a step becomes that is shorter by some time."""
    return step_us / max(step_us - saved_us, step_us * 1e-3) if step_us else 1.0


def _target(one: AppliedTarget, clock: int, tolerance: float | None) -> TargetGain:
    """What a kernel saves a step, by the host's time or the device's."""
    saved = original = kernel = low = high = 0.0
    drifted = False
    for call in one.calls:
        base = np.array([times[clock] for times in call.original_us])
        ours = np.array([times[clock] for times in call.kernel_us])
        each = base - ours
        resampled = bootstrap_medians(each, [list(range(len(each)))])
        tails = np.percentile(resampled, TAILS)
        saved += call.calls * float(np.median(each))
        low += call.calls * float(tails[0])
        high += call.calls * float(tails[1])
        original += call.calls * float(np.median(base))
        kernel += call.calls * float(np.median(ours))
        drifted |= _is_off(call, tolerance)
    return TargetGain(one, saved, (low, high), original, kernel, drifted)


def _is_off(call: TimedCall, tolerance: float | None) -> bool:
    allowed = tolerance
    if allowed is None:
        allowed = TOLERANCES.get(call.drift.dtype, OTHER_TOLERANCE)
    return _exceeds(call.drift, allowed)


def _exceeds(drift: OutputDrift, allowed: float) -> bool:
    return drift.relative is None or drift.relative > allowed


def _verdict(runs: VerifiedRuns, allowed: float, decision: Decision | None) -> ModelVerdict:
    if not any(one.calls for one in runs.targets):
        return ModelVerdict.NOT_APPLIED
    if runs.repeated is not None and _exceeds(runs.repeated, allowed):
        return ModelVerdict.NOT_REPEATABLE
    if not runs.drift.outputs or _exceeds(runs.drift, allowed):
        return ModelVerdict.DRIFTED if runs.drift.outputs else ModelVerdict.NOT_REPEATABLE
    return ModelVerdict(decision or Decision.INCONCLUSIVE)


def _to_blame(verdict: ModelVerdict, targets: Sequence[TargetGain]) -> tuple[str, ...]:
    if verdict is ModelVerdict.DRIFTED:
        return tuple(one.applied.target for one in targets if one.drifted)
    slower = (one for one in targets if one.interval_us[1] < 0)
    return tuple(one.applied.target for one in slower)


def steps_of(runs: Sequence[TimedRun]) -> int:
    """How many steps were timed."""
    return sum(len(run.step_ns) for run in runs)
