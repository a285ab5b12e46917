"""Finds all that makes an operator unfit to judge candidates by: in its files, and when it is run.

One fault hides no other that can be found without the part that is at fault.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from .errors import DatasetError, HarnessError, InfrastructureError
from .evaluation.plan import EvaluationRequest, chosen_workloads, make_plan, work_estimate
from .evaluation.precheck import lacking_here
from .messages.judge import CheckOperator, Checks, OperatorChecked
from .progress import OnProgress
from .schema.evaluation import Evaluation, Executor, Scope, Status
from .settings import Settings
from .workloads.dataset import Dataset
from .workloads.dataset_problem import code_problems, syntax_faults
from .workloads.operators import Operator, generic_cost
from .workloads.policy import policy_of
from .workloads.regimes import sample_shapes

if TYPE_CHECKING:
    from .evaluation.judge_pool import JudgePool

TRIAL_S = 20.0
"""For the trial of an operator's own reference; sizes that it does not reach are not compared."""
OTHERWISE_JUDGED = ("oracle.py", "compare.py")
"""Files of an operator's folder by which another than the reference decides what is right."""
DISAGREES = (Status.INCORRECT_SHAPE, Status.INCORRECT_NUMERICAL, Status.INCORRECT_DTYPE)


@dataclass(frozen=True)
class OperatorCheck:
    """Looks at the operators of a dataset, with a device that runs their code."""

    dataset: Dataset
    pool: JudgePool
    device: str
    settings: Settings

    async def problems_of(self, definition: str, progress: OnProgress) -> list[str]:
        """What is wrong with an operator, in sentences: of its code first, then of its data.

        Raises:
            RequestError: when there is no such definition.
            InfrastructureError: when the judge died.
        """
        try:
            operator = self.dataset.operator(definition)
        except DatasetError:  # what it names is the first of these
            unread = self.dataset.unread(definition)
            folders = {problem.folder for problem in unread if problem.folder is not None}
            syntax = [fault for folder in sorted(folders) for fault in syntax_faults(folder)]
            return [*syntax, *map(str, unread)]
        found = [] if _is_unreadable(operator) else await self._running(operator, progress)
        own = [str(problem) for problem in self.dataset.problems if problem.is_of(operator)]
        return list(dict.fromkeys([*found, *code_problems(operator), *own]))

    async def _running(self, operator: Operator, progress: OnProgress) -> list[str]:
        """What shows when its code is run: the cost model's, the reference's, the judging one's."""
        uuids, faults = await asyncio.to_thread(_cheapest_first, operator)
        request = CheckOperator(
            request_id=uuid4().hex,
            **operator.for_judge,
            workloads=[operator.workload(uuid).model_dump(mode="json") for uuid in uuids],
            limit_s=self.settings.budget_s(self.device),
        )
        try:
            answer = await self.pool.ask(self.device, request, OperatorChecked, progress)
        except InfrastructureError:
            if faults:  # code that ends the process which counts ends the judge's, too
                return faults
            raise
        for said in answer.problems:
            lacking = lacking_here(said) if self.device == "cpu" else None
            faults.append(f"{lacking}. Check it on a machine with a GPU." if lacking else said)
        return faults or await self._reference_judged(operator, progress, answer.draws_held_out)

    async def _reference_judged(
        self, operator: Operator, progress: OnProgress, draws_held_out: bool
    ) -> list[str]:
        """Why the definition's own code is refused as a candidate, where others' code judges it.

        Or why a candidate could not be judged, where `inputs.py` draws the held-out workloads.

        No record is kept of the trial. It is of the cheapest workload of each regime.
        """
        folder = operator.folder
        judging = [name for name in OTHERWISE_JUDGED if folder and (folder / name).is_file()]
        if folder is None or not operator.workloads or not (judging or draws_held_out):
            return []
        sample = sample_shapes(operator)
        chosen = chosen_workloads(operator, Scope.SAMPLE, sample, on_cpu=True)
        request = EvaluationRequest(
            operator,
            operator.reference(),
            Scope.SAMPLE,
            only=[uuid for uuid, _, _ in chosen],
            budget_s=min(TRIAL_S, self.settings.budget_s(self.device)),
        )
        executor = Executor.INTERPRETER if self.device == "cpu" else Executor.CUDA
        plan = make_plan(request, f"check-{uuid4().hex}", sample, executor, self.settings)
        # Held-out workloads are drawn, and not run.
        held_out = int(draws_held_out)
        checks = Checks(trials=1, families=1, held_out=held_out, size_seconds=0.0, timed=False)
        plan = plan.model_copy(update={"checks": checks})
        try:
            report = await self.pool.evaluate((self.device,), plan, progress)
        except DatasetError as error:
            return [str(error)]
        record = Evaluation.model_validate(report.evaluation)
        if record.status not in DISAGREES or record.failure is None or not judging:
            return []
        places = " and ".join(str(folder / name) for name in judging)
        sizes = ", ".join(f"{axis}={size}" for axis, size in record.failure.axes.items())
        return [
            f"{places}: the reference itself is refused by what judges here ({record.status}"
            f"{' for ' * bool(sizes)}{sizes}), and so is each candidate that computes the same: "
            + record.failure.message
        ]


def _is_unreadable(operator: Operator) -> bool:
    """Whether a file that a judge reads cannot be: it would name the first, and nothing else."""
    try:
        policy_of(operator.definition, operator.folder)
    except DatasetError:
        return True
    return operator.folder is not None and bool(syntax_faults(operator.folder))


def _cheapest_first(operator: Operator) -> tuple[list[str], list[str]]:
    """The workloads by their work, and what fails of cost.py; by their bytes where that does."""
    work: dict[str, float] = {}
    faults: dict[str, None] = {}
    for workload in operator.workloads:
        try:
            work[workload.uuid] = work_estimate(operator, workload.uuid)
        except HarnessError as error:
            work[workload.uuid] = generic_cost(operator.definition, workload.axes).work
            faults.setdefault(str(error))
    said = list(faults)[:1]
    if (more := len(faults) - 1) > 0:
        said.append(f"cost.py fails on {more} further workloads of {operator.name}")
    return sorted(work, key=work.__getitem__), said
