"""SOL-ExecBench's score: how far a kernel is between a baseline and the bound of the hardware.

Of a workload it is 1 / (1 + (t - t_sol) / (t_b - t_sol)): one half at the baseline's time, 1 at the
bound, and 0 where it failed. A task has the mean of its workloads, a suite that of its tasks. The
times t_b and t_sol are those that came with the suite; where none did, the baseline's as timed here
and this project's floor of the device, which is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...schema.evaluation import Evaluation, Status, WorkloadResult
from ...workloads.operators import Operator
from ..origin import TaskOrigin
from .intervals import Curve, Share, mean_interval, share_of
from .outcomes import EVERY, Counting, TaskOutcome, TaskOutcomes, imported_operators, outcomes_of
from .suite_status import suite_status


@dataclass(frozen=True)
class TaskScore:
    """The score of one task.

    Args:
        status: as the suite names it; empty without a verdict.
        score: None where a right candidate was not timed, or there is no verdict.
        own_bounds: whether a time that should come with the suite is this machine's.
    """

    task: str
    status: str
    score: float | None
    own_bounds: bool = False


@dataclass(frozen=True)
class SolScore:
    """The score of a suite, and of each of its tasks."""

    suite: str
    tasks: tuple[TaskScore, ...]
    correct: Share
    mean: float | None
    interval: tuple[float, float] | None
    scored: int
    outcomes: TaskOutcomes

    def curves(self) -> list[Curve]:
        """The scores of the tasks that have one."""
        values = tuple(task.score for task in self.tasks if task.score is not None)
        return [Curve("all", values, len(values))]

    def as_json(self) -> dict[str, Any]:
        """Everything of it as JSON has it."""
        return asdict(self)


def sol_score(
    suite: str,
    folder: Path,
    records: Iterable[Evaluation],
    counting: Counting = EVERY,
) -> SolScore:
    """The score of the operators in a folder, by the evaluations of a machine.

    Raises:
        DatasetError: when the folder holds no operator that was imported from the suite.
    """
    operators = imported_operators(suite, folder)
    known = {record.evaluation_id: record for record in records}
    outcomes = outcomes_of(operators, known.values(), counting)
    tasks = tuple(
        _task_score(operator, origin, outcome, known, missing_fail=counting.missing_fail)
        for (operator, origin), outcome in zip(operators, outcomes.tasks, strict=True)
    )
    counted = [task for task in outcomes.tasks if task.judged or counting.missing_fail]
    scores = [task.score for task in tasks if task.score is not None]
    return SolScore(
        suite=suite,
        tasks=tasks,
        correct=share_of(sum(task.correct for task in counted), len(counted)),
        mean=sum(scores) / len(scores) if scores else None,
        interval=mean_interval(scores),
        scored=len(scores),
        outcomes=outcomes,
    )


def workload_score(latency_us: float, baseline_us: float, sol_us: float) -> float | None:
    """The score of a workload that is right; None where the baseline is as fast as the bound."""
    if baseline_us <= sol_us:
        return None
    return 1 / (1 + max(latency_us - sol_us, 0.0) / (baseline_us - sol_us))


def _task_score(
    operator: Operator,
    origin: TaskOrigin,
    outcome: TaskOutcome,
    records: Mapping[str, Evaluation],
    *,
    missing_fail: bool,
) -> TaskScore:
    record = records.get(outcome.evaluation_id)
    status = suite_status(record) if record is not None else ""
    if not outcome.judged or record is None:
        return TaskScore(outcome.task, status, 0.0 if missing_fail else None)
    if not outcome.correct and outcome.status is not Status.INCORRECT_NUMERICAL:
        return TaskScore(outcome.task, status, 0.0)
    results = {result.uuid: result for result in record.workloads}
    scores, own = [], False
    for workload in operator.workloads:
        result = results.get(workload.uuid)
        if result is None or result.status is not Status.PASSED:
            scores.append(0.0)
            continue
        stated = origin.times_us.get(workload.uuid, {})
        own |= len(stated) < 2
        scores.append(_of_result(result, stated))
    found = [score for score in scores if score is not None]
    whole = len(found) == len(scores) > 0
    return TaskScore(outcome.task, status, sum(found) / len(found) if whole else None, own)


def _of_result(result: WorkloadResult, stated: Mapping[str, float]) -> float | None:
    baseline = stated.get("baseline", result.baseline_latency_us)
    bound = stated.get("sol", result.floors_us.get("device"))
    if result.latency_us is None or baseline is None or bound is None:
        return None
    return workload_score(result.latency_us, baseline, bound)


def sol_lines(score: SolScore, title: str) -> list[str]:
    """The score as lines of text, and below it what a reader must know of it."""
    tasks = score.outcomes.tasks
    judged = sum(task.judged for task in tasks)
    on = f" on {score.outcomes.device}" if score.outcomes.device else ""
    said = [f"{title}: {judged} of {len(tasks)} tasks have a verdict{on}.", ""]
    width = max(len(task.task) for task in score.tasks)
    for task in score.tasks:
        figure = "–" if task.score is None else f"{task.score:.3f}"
        said.append(f"{task.task.ljust(width)}  {figure:>6}  {task.status or 'not judged yet'}")
    said.append("")
    counts = Counter(task.status for task in score.tasks if task.status)
    said.append("Statuses: " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) + ".")
    if score.correct.share is not None and score.correct.interval is not None:
        low, high = score.correct.interval
        share = f"{100 * score.correct.share:.1f} % [{100 * low:.0f}, {100 * high:.0f}]"
        said.append(f"Correct: {score.correct.count} of {score.correct.of}, {share}.")
    if score.mean is None:
        said.append("No score S: nothing was timed. Times need an NVIDIA GPU.")
    else:
        interval = score.interval
        shown = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        said.append(f"Score S: {score.mean:.3f}{shown}, the mean of {score.scored} tasks.")
    if own := [task.task for task in score.tasks if task.own_bounds and task.score is not None]:
        said.append(
            f"By the baseline as timed here, or this project's floor of the device, where the "
            f"suite's own times did not come with the task: {len(own)} tasks ({own[0]}, …)."
        )
    return said
