"""Judges what was imported of a suite, by one real judge on the CPU."""

from __future__ import annotations

from pathlib import Path

from kernel_harness.tools.messages.judge import Checks, JudgeReport
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.solution_folder import read_solution

from ...judging import JudgeProcess, make_plan
from .verdicts import FAILURE, verdict


def judge_all(imported: Imported, cache: Path) -> dict[tuple[str, str], Evaluation]:
    """The record of every candidate that was imported, by operator and name."""
    judge = JudgeProcess("cpu", cache)
    dataset = Dataset.load(imported.folder)
    found = {}
    try:
        for number, folder in enumerate(imported.candidates):
            solution = read_solution(folder)
            operator = dataset.operators[solution.definition]
            compiled = solution.spec.language.value == "cuda"
            plan = make_plan(
                solution,
                operator.folder or Path(),
                checks=Checks(
                    trials=3,
                    families=0,
                    timed=False,
                    static_targets=["sm_90"] if compiled else [],
                ),
                baseline=operator.baseline(cpu=True),
                workload_digest=operator.digest,
                evaluation_id=f"ev-20260101-{number:06}-00000000",
            )
            answer = judge.ask(plan)
            if isinstance(answer, JudgeReport):
                record = Evaluation.model_validate(answer.evaluation)
            else:  # the service makes such a record of it
                assert answer.of_dataset
                record = verdict(
                    operator,
                    "INVALID_REFERENCE",
                    solution=solution.name,
                    failure={**FAILURE, "message": answer.what},
                    evidence={"started_at": "2026-01-01T00:00:00Z"},
                )
            found[operator.name, folder.name] = record
    finally:
        judge.close()
    return found
