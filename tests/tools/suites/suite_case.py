"""A suite's tasks of our own, and what is done with those of every suite: imported and judged."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.judge.numerics.torch_settings import settings_kept
from kernel_harness.tools.messages.judge import Checks, JudgeReport
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.suites import autokernel, gpu_mode, robust_kbench
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.probing import (
    autokernel_facts,
    client,
    gpu_mode_facts,
    kernelbench_facts,
    robust_kbench_facts,
)
from kernel_harness.tools.suites.probing.task_probe import DESCRIBERS
from kernel_harness.tools.suites.table import SUITES, Suite
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.solution_folder import read_solution

from ...judging import JudgeProcess, make_plan
from .verdicts import FAILURE, verdict

ASKING = (client, autokernel, gpu_mode, robust_kbench)
DESCRIBING = (autokernel_facts, gpu_mode_facts, kernelbench_facts, robust_kbench_facts)


@dataclass(frozen=True)
class SuiteCase:
    """Tasks of our own in a suite's form, and what must become of them.

    Args:
        name: the suite's.
        write: writes them into a folder; what is to be imported, and folders of more candidates.
        operators: the names of those that they become.
        left_out: what cannot be imported, by its label, and a part of the reason.
        due: by operator and candidate, the status without a GPU.
        refused: a part of what is said of a folder without tasks.
        status: a record's, as the suite names it.
        most_left_out: the greatest share of a real folder's tasks that may be left out.
    """

    name: str
    write: Callable[[Path], tuple[Path, Sequence[Path]]]
    operators: Sequence[str]
    left_out: Mapping[str, str]
    due: Mapping[tuple[str, str], str]
    refused: str
    status: Callable[[Evaluation], str] = lambda record: str(record.status)
    most_left_out: float = 1.0

    @property
    def suite(self) -> Suite:
        """Its entry in the table of suites."""
        return SUITES[self.name]

    @property
    def own_folder(self) -> Path | None:
        """A folder of the tester's own; none where the variable is not set."""
        named = os.environ.get(self.variable)  # noqa: TID251 - the tester's own
        return Path(named) if named else None

    @property
    def variable(self) -> str:
        """The variable that names a folder of the tester's own."""
        return f"KERNEL_HARNESS_TEST_{self.name.replace('-', '_').upper()}"

    def bring(self, folder: Path) -> Imported:
        """Writes the tasks below a folder, and imports them."""
        tasks, candidates = self.write(folder / "tasks")
        given = {"candidates": candidates}
        return self.suite.import_folder(tasks, folder / "operators", given)


@dataclass
class Judged:
    """The records of a suite's candidates, each made when it is first asked for."""

    imported: Imported
    judge: JudgeProcess

    @cached_property
    def dataset(self) -> Dataset:
        """The operators that were imported."""
        return Dataset.load(self.imported.folder)

    @cached_property
    def _records(self) -> dict[tuple[str, str], Evaluation]:
        return {}

    def record(self, operator: str, candidate: str) -> Evaluation:
        """The record of one candidate."""
        if (operator, candidate) not in self._records:
            self._records[operator, candidate] = self._judge(operator, candidate)
        return self._records[operator, candidate]

    def _judge(self, name: str, candidate: str) -> Evaluation:
        solution = read_solution(self.imported.folder / name / "candidates" / candidate)
        operator = self.dataset.operators[name]
        compiled = solution.spec.language.value == "cuda" or any(
            "load_inline" in source.content for source in solution.sources
        )
        targets = ["sm_90"] if compiled else []
        plan = make_plan(
            solution,
            operator.folder or Path(),
            checks=Checks(trials=3, families=0, timed=False, static_targets=targets),
            baseline=operator.baseline(cpu=True),
            workload_digest=operator.digest,
            evaluation_id=f"ev-20260101-{len(self._records):06}-00000000",
        )
        answer = self.judge.ask(plan)
        if isinstance(answer, JudgeReport):
            return Evaluation.model_validate(answer.evaluation)
        assert answer.of_dataset  # the service makes such a record of it
        return verdict(
            operator,
            "INVALID_REFERENCE",
            solution=solution.name,
            failure={**FAILURE, "message": answer.what},
            evidence={"started_at": "2026-01-01T00:00:00Z"},
        )


Bringing = Callable[[SuiteCase], Imported]
Judging = Callable[[SuiteCase], Judged]


def _asked_here(
    kind: str, tasks: Sequence[Mapping[str, Any]], limit_s: float = 0.0
) -> Iterator[dict[str, Any]]:
    for task in tasks:
        with settings_kept():  # as each has a process of its own
            found = DESCRIBERS[kind](json.loads(json.dumps(task)))
        yield json.loads(json.dumps(found))


@contextlib.contextmanager
def probed_here() -> Iterator[None]:
    """Has tasks looked at in this process, as the probing process does, without starting one."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ASKING:
            patch.setattr(module, "ask", _asked_here)
        for module in DESCRIBING:
            patch.setattr(module, "bound_memory", lambda: None)
        yield
