"""What kernels gain in a program, measured beside predicted, and which one is to blame: pure.

Measured are steps of runs with the kernels against steps at the same place of the runs beside
them without: paired, in turn, with an interval that knows that runs differ more than steps of one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ...evaluation.comparison import compare
from ...schema.measurement import Decision, Measurement
from .predictions import PredictedGain, PredictedTarget, predict
from .verified_runs import AppliedTarget, OutputDrift, TimedCall, TimedRun, VerifiedRuns

TOLERANCES = {"float64": 1e-9, "float32": 1e-3, "float16": 1e-2, "bfloat16": 3e-2}
"""Relative drift of a model's outputs that other orders of summation explain, by type."""
OTHER_TOLERANCE = 3e-2
WIDEST = 2.0
"""Ends of an interval that are further apart have something in common with nearly all others."""


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
        predicted: of the step's time.
        drifted: whether a call's output is further off than rounding explains.
    """

    applied: AppliedTarget
    predicted: PredictedTarget
    drifted: bool


@dataclass(frozen=True)
class ModelComparison:
    """A program with kernels against itself without.

    Args:
        before_us: median of a step.
        gain: how many times as fast the steps are, the median over pairs.
        interval: of that, 95 %; None for fewer than five pairs.
        predicted: the same, of what the calls alone take.
        agree: whether both intervals have a number in common; None where one is not known, is too
            wide to tell, or calls are left out that are within compiled code.
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
    predicted: PredictedGain
    agree: bool | None
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
    foretold = predict(runs, before_us)
    targets = tuple(
        TargetGain(one, us, any(_is_off(call, tolerance) for call in one.calls))
        for one, us in zip(runs.targets, foretold.targets, strict=True)
    )
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
        foretold,
        None if interval is None else _agree(interval, foretold),
        targets,
        _to_blame(verdict, targets),
    )


def _agree(interval: tuple[float, float], foretold: PredictedGain) -> bool | None:
    """Whether both have a number in common; None where they are too wide, or not all was timed."""
    ends = (interval, foretold.interval)
    if not foretold.whole or any(high > WIDEST * low for low, high in ends):
        return None
    return interval[0] <= foretold.interval[1] and foretold.interval[0] <= interval[1]


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


def _is_off(call: TimedCall, tolerance: float | None) -> bool:
    allowed = tolerance
    if allowed is None:
        allowed = TOLERANCES.get(call.drift.dtype, OTHER_TOLERANCE)
    return _exceeds(call.drift, allowed)


def _exceeds(drift: OutputDrift, allowed: float) -> bool:
    return drift.relative is None or drift.relative > allowed


def _verdict(runs: VerifiedRuns, allowed: float, decision: Decision | None) -> ModelVerdict:
    if not any(one.calls or one.compiled for one in runs.targets):
        return ModelVerdict.NOT_APPLIED
    if runs.repeated is not None and _exceeds(runs.repeated, allowed):
        return ModelVerdict.NOT_REPEATABLE
    if not runs.drift.outputs or _exceeds(runs.drift, allowed):
        return ModelVerdict.DRIFTED if runs.drift.outputs else ModelVerdict.NOT_REPEATABLE
    return ModelVerdict(decision or Decision.INCONCLUSIVE)


def _to_blame(verdict: ModelVerdict, targets: Sequence[TargetGain]) -> tuple[str, ...]:
    if verdict is ModelVerdict.DRIFTED:
        off = [one.applied.target for one in targets if one.drifted]
        # Where no timed call is off, it is one within compiled code.
        return tuple(off or [one.applied.target for one in targets if one.applied.compiled])
    slower = (one for one in targets if one.predicted.saved_us.high < 0)
    return tuple(one.applied.target for one in slower)


def steps_of(runs: Sequence[TimedRun]) -> int:
    """How many steps were timed."""
    return sum(len(run.step_ns) for run in runs)
