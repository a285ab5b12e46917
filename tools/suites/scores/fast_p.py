"""KernelBench's score: rates of compiled and right candidates, fast_p, mean speed-up.

fast_p is the share of tasks whose candidate is right and more than p times as fast as the
baseline; fast_0 is the share of right ones. Shares are of the tasks that have a verdict. Their
intervals are Wilson's; that of the geometric mean is a bootstrap over tasks. Where right candidates
were not timed only the rates are told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...schema.evaluation import Evaluation
from .intervals import Curve, Share, geometric_interval, share_of
from .outcomes import (
    EVERY,
    Counting,
    Pick,
    TaskOutcome,
    TaskOutcomes,
    imported_operators,
    outcomes_of,
)

THRESHOLDS = (0.0, 0.5, 0.8, 1.0, 1.5, 2.0)
SUSPICIOUS = 10.0
"""A speed-up that KernelBench flags, since it is seldom honest."""


@dataclass(frozen=True)
class LevelScore:
    """The score of one level, or of all (`level` is None).

    Args:
        tasks: how many were imported.
        fast: by p; only p = 0 where no task was timed.
        timed: how many right candidates were timed beside the baseline.
        geometric_mean: of the speed-ups of right candidates.
        mean_interval: of that mean; None of fewer than two tasks.
    """

    level: int | None
    tasks: int
    compiled: Share
    correct: Share
    fast: dict[float, Share]
    timed: int
    geometric_mean: float | None
    mean_interval: tuple[float, float] | None


@dataclass(frozen=True)
class FastPScore:
    """A suite's score by level, and the outcome of each task."""

    suite: str
    pick: Pick
    levels: tuple[LevelScore, ...]
    total: LevelScore
    outcomes: TaskOutcomes

    @property
    def timed(self) -> bool:
        """Whether any right candidate was timed beside the baseline."""
        return self.total.timed > 0

    def curves(self) -> list[Curve]:
        """The speed-ups of right candidates among the tasks that count, of all and by level."""
        parts = [*self.levels, self.total] if len(self.levels) > 1 else [self.total]
        return [self._curve(part) for part in parts]

    def _curve(self, part: LevelScore) -> Curve:
        tasks = [task for task in self.outcomes.tasks if part.level in (None, task.level)]
        values = [t.speedup for t in tasks if t.correct and t.speedup is not None]
        name = "all" if part.level is None else f"level {part.level}"
        return Curve(name, tuple(values), part.correct.of)

    def as_json(self) -> dict[str, Any]:
        """Everything of it as JSON has it."""
        return asdict(self)


def fast_p_score(
    suite: str,
    folder: Path,
    records: Iterable[Evaluation],
    counting: Counting = EVERY,
) -> FastPScore:
    """The score of the operators in a folder, by the evaluations of a machine.

    Raises:
        DatasetError: when the folder holds no operator that was imported from the suite.
    """
    operators = imported_operators(suite, folder)
    outcomes = outcomes_of(operators, records, counting)
    levels = sorted({task.level for task in outcomes.tasks})

    def scored(level: int | None) -> LevelScore:
        own = [task for task in outcomes.tasks if level in (None, task.level)]
        return _level_score(level, own, missing_fail=counting.missing_fail)

    return FastPScore(suite, counting.pick, tuple(map(scored, levels)), scored(None), outcomes)


def _level_score(
    level: int | None, tasks: Sequence[TaskOutcome], *, missing_fail: bool
) -> LevelScore:
    counted = [task for task in tasks if task.judged or missing_fail]

    def rate(holds: Callable[[TaskOutcome], bool]) -> Share:
        return share_of(sum(map(holds, counted)), len(counted))

    speedups = [t.speedup for t in counted if t.correct and t.speedup is not None]
    untimed = [task for task in counted if task.correct and task.speedup is None]
    # A right candidate without a time would count as a slow one.
    thresholds = THRESHOLDS[:1] if untimed or not speedups else THRESHOLDS

    def fast(p: float) -> Callable[[TaskOutcome], bool]:
        return lambda task: task.correct and (p == 0 or (task.speedup or 0.0) > p)

    return LevelScore(
        level=level,
        tasks=len(tasks),
        compiled=rate(lambda task: task.judged and task.compiled),
        correct=rate(lambda task: task.correct),
        fast={p: rate(fast(p)) for p in thresholds},
        timed=len(speedups),
        geometric_mean=math.exp(math.fsum(map(math.log, speedups)) / len(speedups))
        if speedups
        else None,
        mean_interval=geometric_interval(speedups),
    )
