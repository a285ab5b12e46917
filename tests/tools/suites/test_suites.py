"""What holds for every suite: tasks of our own are imported, judged and scored as is due."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.suites.table import SUITES
from kernel_harness.tools.workloads.dataset import Dataset

from . import (
    autokernel_tasks,
    contest_tasks,
    gpu_mode_tasks,
    kernelagent_tasks,
    kernelbench_tasks,
    robust_kbench_tasks,
    sol_execbench_tasks,
)
from .suite_case import Bringing, Judging, SuiteCase

MODULES = (
    autokernel_tasks,
    contest_tasks,
    gpu_mode_tasks,
    kernelagent_tasks,
    kernelbench_tasks,
    robust_kbench_tasks,
    sol_execbench_tasks,
)
CASES: tuple[SuiteCase, ...] = tuple(module.CASE for module in MODULES)
PROBED = [case for case in CASES if case.name not in ("contest", "sol-execbench")]
"""The suites whose tasks are looked at in a process of its own."""
each_suite = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_suite_has_tasks_of_our_own() -> None:
    assert {case.name for case in CASES} == set(SUITES)


@each_suite
def test_every_task_is_an_operator_or_left_out_with_its_reason(
    case: SuiteCase, brought: Bringing
) -> None:
    imported = brought(case)
    dataset = Dataset.load(imported.folder)
    assert not dataset.problems
    assert set(dataset.operators) == set(imported.operators) == set(case.operators)
    assert set(imported.left_out) == set(case.left_out), imported.left_out
    for label, words in case.left_out.items():
        assert words in imported.left_out[label], imported.left_out[label]
    candidates = [(folder.parent.parent.name, folder.name) for folder in imported.candidates]
    assert sorted(candidates) == sorted(case.due)


@each_suite
def test_a_folder_without_tasks_is_refused(case: SuiteCase, probed: None, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=case.refused):
        case.suite.import_folder(tmp_path, tmp_path / "ops", {})


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize(
    "case, operator, candidate",
    [
        pytest.param(case, *named, id="-".join((case.name, *named)))
        for case in CASES
        for named in case.due
    ],
)
def test_a_candidate_gets_its_verdict(
    case: SuiteCase, operator: str, candidate: str, judged: Judging
) -> None:
    found = judged(case)
    record = found.record(operator, candidate)
    assert case.status(record) == case.due[operator, candidate], record.failure
    assert len(record.workloads) in (0, len(found.dataset.operators[operator].workloads))


@pytest.mark.long
@pytest.mark.process
@each_suite
def test_the_score_counts_the_operators_that_have_a_right_candidate(
    case: SuiteCase, judged: Judging
) -> None:
    found = judged(case)
    records = [found.record(*named) for named in case.due]
    score = case.suite.score(case.name, found.imported.folder, records)
    right = {operator for (operator, _), status in case.due.items() if status == "PASSED"}
    assert sum(task.correct for task in score.outcomes.tasks) == len(right)
    lines = case.suite.lines(score, case.suite.title)
    assert case.suite.title in lines[0]


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize("case", PROBED, ids=lambda case: case.name)
def test_tasks_are_looked_at_in_a_process_of_its_own(case: SuiteCase, tmp_path: Path) -> None:
    imported = case.bring(tmp_path)
    assert set(imported.operators) == set(case.operators)
    assert set(imported.left_out) == set(case.left_out)


@each_suite
def test_a_folder_of_ones_own(case: SuiteCase, tmp_path: Path) -> None:
    if case.own_folder is None:
        pytest.skip(f"{case.variable} names no folder")
    imported = case.suite.import_folder(case.own_folder, tmp_path, {})
    found = Dataset.load(tmp_path)
    assert not found.problems and set(found.operators) == set(imported.operators)
    # KernelBench's fourth level has whole models by their names, which need the network.
    left = [label for label in imported.left_out if not label.startswith("level4/")]
    share = len(left) / (len(imported.operators) + len(left))
    assert imported.operators and share <= case.most_left_out, imported.left_out
