"""What evaluations say of each task of a suite: one outcome a task, picked among its candidates.

Counted are verdicts on the state of a task that is on disk now, on one device: speeds of several
are no one score. A verdict that was not reached (no GPU, a random reference, an evaluation that was
interrupted) says nothing of a candidate and is not counted as a failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...errors import DatasetError
from ...schema.evaluation import UNDECIDED, Evaluation, Scope, Stage, Status
from ...schema.measurement import TimeSource
from ...workloads.dataset import Dataset
from ...workloads.operators import Operator
from ..origin import TaskOrigin, read_origin

UNBUILT = (Status.COMPILE_ERROR, Status.INVALID_CANDIDATE)
CONSTANT = "outputs_depend_on_inputs"
"""The integrity claim that such a task does not meet."""
NO_DEVICE = "unknown device"
COPIES = ("copy", "memset")
MAYBE_OWN = ("candidate", "unknown")
"""Origins of kernels that are, or may be, a candidate's."""


class Pick(StrEnum):
    """Which of a task's verdicts stands for it."""

    BEST = "best"
    """The right one with the greatest speed-up; the last one where none is right."""
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True)
class Counting:
    """What counts in a score.

    Args:
        pick: of several verdicts on a task.
        solution: a part of the names of the solutions that count; all of them when empty.
        device: a part of the device's name; when empty, the device of most verdicts.
        missing_fail: whether a task without a verdict counts as one that failed.
    """

    pick: Pick = Pick.BEST
    solution: str = ""
    device: str = ""
    missing_fail: bool = False


EVERY = Counting()


@dataclass(frozen=True)
class TaskOutcome:
    """The verdict that stands for a task.

    Args:
        status: of the verdict; None where the task has none.
        candidates: how many programs were judged on it.
        speedup: time of the suite's baseline over the candidate's; None where it was not timed.
        sealed: whether both times were taken where no code of a candidate runs.
        reduced_by: by what the task's sizes were divided.
        constant: whether the task's outputs do not depend on its inputs: a constant is right.
        libraries: whose kernels alone the candidate launches; empty where it has one of its own
            or was not timed.
        published_only: right by the published criterion alone: the strict one was not met.
        reason: why there is no verdict, or how the candidate failed.
    """

    task: str
    level: int
    status: Status | None = None
    evaluation_id: str = ""
    solution: str = ""
    candidates: int = 0
    reduced_by: int = 1
    compiled: bool = False
    speedup: float | None = None
    sealed: bool = False
    libraries: tuple[str, ...] = ()
    published_only: bool = False
    constant: bool = False
    reason: str = ""

    @property
    def judged(self) -> bool:
        """Whether there is a verdict: right or wrong."""
        return self.status is not None and self.status not in UNDECIDED

    @property
    def correct(self) -> bool:
        """Whether the candidate is right."""
        return self.status is Status.PASSED


@dataclass(frozen=True)
class TaskOutcomes:
    """The outcomes of all tasks of a suite.

    Args:
        device: what they were judged on; empty where nothing was judged.
        elsewhere: how many verdicts of other devices were left out.
        stale: how many verdicts were on another state of their task.
    """

    tasks: tuple[TaskOutcome, ...]
    device: str
    elsewhere: int = 0
    stale: int = 0


def imported_operators(suite: str, folder: Path) -> list[tuple[Operator, TaskOrigin]]:
    """The operators of a folder that were imported from a suite, in the suite's order.

    Raises:
        DatasetError: when there is none.
    """
    found = Dataset.load(folder).operators.values()
    operators = [(o, origin) for o in found if (origin := read_origin(o.folder))]
    operators = [(o, origin) for o, origin in operators if origin.suite == suite]
    if not operators:
        raise DatasetError(
            f"No operator there was imported from {suite}",
            where=str(folder),
            remedy=f"kernel-harness import {suite} FOLDER --out {folder} makes them.",
        )
    return sorted(operators, key=lambda pair: (pair[1].level, pair[1].number, pair[1].task))


def outcomes_of(
    operators: Sequence[tuple[Operator, TaskOrigin]],
    records: Iterable[Evaluation],
    counting: Counting = EVERY,
) -> TaskOutcomes:
    """One outcome for each operator.

    Args:
        records: in any order, of any operators; those of inputs that do not rank are left out.
    """
    known = {operator.name: operator for operator, _ in operators}
    counted = [
        record
        for record in records
        if record.definition in known
        and record.scope is not Scope.STATIC
        and record.status is not Status.RUNNING
        and not record.input_family
        and counting.solution in record.solution_name
    ]
    fresh = [r for r in counted if r.workload_digest == known[r.definition].digest]
    devices = Counter(_device(record) for record in fresh if _device(record) != NO_DEVICE)
    named = [name for name, _ in devices.most_common() if counting.device.lower() in name.lower()]
    chosen = named[0] if named else ""
    # What never came to a device, as code that does not compile, counts on every one.
    here = [r for r in fresh if _device(r) in (chosen, NO_DEVICE)]
    tasks = tuple(
        _outcome(
            operator, origin, [r for r in here if r.definition == operator.name], counting.pick
        )
        for operator, origin in operators
    )
    return TaskOutcomes(tasks, chosen, len(fresh) - len(here), len(counted) - len(fresh))


def _device(record: Evaluation) -> str:
    return record.evidence.device.name if record.evidence.device else NO_DEVICE


def _outcome(
    operator: Operator, origin: TaskOrigin, records: list[Evaluation], pick: Pick
) -> TaskOutcome:
    label = origin.label
    if not records:
        return TaskOutcome(label, origin.level, reason="no candidate was judged")
    ordered = sorted(records, key=lambda record: record.evaluation_id)
    # Verdicts are among those that stand for a task before what came to none.
    decided = [record for record in ordered if record.status not in UNDECIDED] or ordered
    record = _picked(decided, operator, pick)
    failure = record.failure
    baseline_times = record.workloads[0].sealing if record.workloads else None
    return TaskOutcome(
        task=label,
        level=origin.level,
        status=record.status,
        evaluation_id=record.evaluation_id,
        solution=record.solution_name,
        reduced_by=origin.reduced_by,
        candidates=len({record.content_hash for record in ordered}),
        compiled=record.status not in (*UNBUILT, *UNDECIDED) and not _ended_early(record),
        speedup=_speedup(record, operator),
        sealed=baseline_times is not None and baseline_times.source is TimeSource.SEALED,
        libraries=_libraries(record),
        published_only=record.status is Status.PASSED
        and not all(error.strict for result in record.workloads for error in result.errors),
        constant=any(finding.claim == CONSTANT for finding in record.integrity.findings),
        reason=failure.message if failure else record.partial_reason or "",
    )


def _libraries(record: Evaluation) -> tuple[str, ...]:
    """Whose kernels a record's timed calls launched, where none may be the candidate's."""
    measured = [result.measurement for result in record.workloads if result.measurement]
    origins = {kernel.origin for timed in measured for kernel in timed.kernels} - set(COPIES)
    return () if origins & set(MAYBE_OWN) else tuple(sorted(origins))


def _ended_early(record: Evaluation) -> bool:
    return record.failure is not None and record.failure.stage in (Stage.REQUEST, Stage.COMPILE)


def _picked(records: Sequence[Evaluation], operator: Operator, pick: Pick) -> Evaluation:
    if pick is Pick.FIRST:
        return records[0]
    right = [record for record in records if record.status is Status.PASSED]
    if pick is Pick.LAST or not right:
        return records[-1]
    return max(right, key=lambda record: _speedup(record, operator) or 0.0)


def _speedup(record: Evaluation, operator: Operator) -> float | None:
    """Over the operator's own baseline; None where it was compared with something else."""
    ratio = record.totals.geometric_mean_ratio
    same = record.baseline == operator.policy.baseline
    return ratio if same and isinstance(ratio, float) else None
