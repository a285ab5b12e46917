"""A suite's score task by task: the time that each task ranks by, and that of the baseline.

Ranked is by the geometric mean of the times of the timed workloads, by the last one's, or by their
mean, as the suite says for each task. Less is better, and there is no figure for all tasks but how
many are right and by how much the baseline is beaten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...schema.evaluation import Evaluation
from ...workloads.operators import Operator
from .intervals import Curve, Share, geometric_interval, share_of
from .outcomes import EVERY, Counting, TaskOutcomes, imported_operators, outcomes_of

GEOMETRIC, LAST, MEAN = "geom", "last", "mean"


def _geometric(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))


RANKINGS: Mapping[str, Callable[[Sequence[float]], float]] = {
    GEOMETRIC: _geometric,
    LAST: lambda values: values[-1],
    MEAN: lambda values: math.fsum(values) / len(values),
}


@dataclass(frozen=True)
class RankedTask:
    """One task's place-giving time.

    Args:
        status: empty without a verdict.
        ranked_by: which mean of the times it is.
        score_us: None where it is not right, or a workload was not timed.
        baseline_us: the same of the suite's baseline.
    """

    task: str
    status: str
    ranked_by: str
    score_us: float | None = None
    baseline_us: float | None = None

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the baseline."""
        if self.score_us is None or self.baseline_us is None:
            return None
        return self.baseline_us / self.score_us


@dataclass(frozen=True)
class Leaderboard:
    """The times of all tasks of a suite."""

    suite: str
    tasks: tuple[RankedTask, ...]
    correct: Share
    outcomes: TaskOutcomes

    @property
    def speedups(self) -> list[float]:
        """Of the tasks that have both times."""
        return [task.speedup for task in self.tasks if task.speedup is not None]

    def curves(self) -> list[Curve]:
        """The speed-ups of right candidates among the tasks that count."""
        return [Curve("all", tuple(self.speedups), self.correct.of)]

    def as_json(self) -> dict[str, Any]:
        """Everything of it as JSON has it."""
        return asdict(self)


def leaderboard(
    suite: str,
    folder: Path,
    records: Iterable[Evaluation],
    counting: Counting = EVERY,
) -> Leaderboard:
    """The times of the operators in a folder, by the evaluations of a machine.

    Raises:
        DatasetError: when the folder holds no operator that was imported from the suite.
    """
    operators = imported_operators(suite, folder)
    known = {record.evaluation_id: record for record in records}
    outcomes = outcomes_of(operators, known.values(), counting)
    tasks = []
    for (operator, origin), outcome in zip(operators, outcomes.tasks, strict=True):
        record = known.get(outcome.evaluation_id)
        ranked_by = origin.ranked_by if origin.ranked_by in RANKINGS else MEAN
        task = RankedTask(outcome.task, str(outcome.status or ""), ranked_by)
        tasks.append(_ranked(task, operator, record) if record and outcome.correct else task)
    counted = [task for task in outcomes.tasks if task.judged or counting.missing_fail]
    correct = share_of(sum(task.correct for task in counted), len(counted))
    return Leaderboard(suite, tuple(tasks), correct, outcomes)


def _ranked(task: RankedTask, operator: Operator, record: Evaluation) -> RankedTask:
    due = [w.uuid for w in operator.workloads if w.uuid not in operator.policy.untimed]
    results = {result.uuid: result for result in record.workloads}
    timed = [results[uuid] for uuid in due if uuid in results]
    ours = [r.latency_us for r in timed if r.latency_us is not None]
    base = [r.baseline_latency_us for r in timed if r.baseline_latency_us is not None]
    rank = RANKINGS[task.ranked_by]
    return RankedTask(
        task=task.task,
        status=task.status,
        ranked_by=task.ranked_by,
        score_us=rank(ours) if due and len(ours) == len(due) else None,
        baseline_us=rank(base) if due and len(base) == len(due) else None,
    )


def leaderboard_lines(score: Leaderboard, title: str) -> list[str]:
    """The times as lines of text, and below them what a reader must know of them."""
    tasks = score.outcomes.tasks
    judged = sum(task.judged for task in tasks)
    on = f" on {score.outcomes.device}" if score.outcomes.device else ""
    said = [f"{title}: {judged} of {len(tasks)} tasks have a verdict{on}.", ""]
    width = max(len(task.task) for task in score.tasks)
    for task in score.tasks:
        line = f"{task.task.ljust(width)}  {task.status or 'not judged yet'}"
        if task.score_us is not None:
            line += f"  {task.score_us:.2f} µs ({task.ranked_by})"
        if task.speedup is not None:
            line += f", {task.speedup:.2f}x the baseline"
        said.append(line)
    said.append("")
    if score.correct.share is not None and score.correct.interval is not None:
        low, high = score.correct.interval
        share = f"{100 * score.correct.share:.1f} % [{100 * low:.0f}, {100 * high:.0f}]"
        said.append(f"Correct: {score.correct.count} of {score.correct.of}, {share}.")
    if speedups := score.speedups:
        found = geometric_interval(speedups)
        shown = f" [{found[0]:.2f}, {found[1]:.2f}]" if found else ""
        said.append(f"Geometric mean of the speed-ups: {_geometric(speedups):.2f}x{shown}.")
    else:
        said.append("Nothing was timed beside the baseline. Times need an NVIDIA GPU.")
    for words, count in (
        ("other devices", score.outcomes.elsewhere),
        ("another state of their task", score.outcomes.stale),
    ):
        if count:
            said.append(f"Left out, verdicts of {words}: {count}.")
    return said
