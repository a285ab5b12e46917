"""Problems in KernelAgent's form become operators, and their kernels get the verdicts due."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.suites.kernelagent import import_kernelagent
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.policy import Criterion

from . import kernelagent_tasks
from .kernelagent_tasks import write_problems
from .suite_case import Judging

CASE = kernelagent_tasks.CASE


def test_the_policy_is_the_suite_s_criterion(dataset: Dataset) -> None:
    for operator in dataset.operators.values():
        tolerance = operator.policy.tolerance
        assert (tolerance.form, tolerance.atol, tolerance.rtol) == ("allclose", 1e-2, 1e-2)
        assert operator.definition.op_type == "kernelagent" and operator.baseline() is not None


def test_one_problem_alone_is_called_as_its_folder(probed: None, tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems")
    (tmp_path / "mine" / "layer").mkdir(parents=True)
    (tmp_path / "mine" / "layer" / "v2.py").write_text("def kernel_function(x):\n    return x\n")
    (tmp_path / "mine" / "other").mkdir()
    (tmp_path / "mine" / "other" / "v3.py").write_text("def kernel_function(x):\n    return x\n")
    imported = import_kernelagent(
        problems / "layer",
        tmp_path / "ops",
        candidates=[tmp_path / "mine"],
        published_only=True,
    )
    assert imported.operators == ("kernelagent_layer",)
    assert "layer-v2" in {folder.name for folder in imported.candidates}
    assert "no problem 'other'" in imported.left_out["other/v3.py"]
    (operator,) = Dataset.load(tmp_path / "ops").operators.values()
    assert operator.policy.criterion is Criterion.PUBLISHED


@pytest.mark.long
@pytest.mark.process
def test_what_a_kernel_asks_for_and_is_not_there_is_named(judged: Judging) -> None:
    record = judged(CASE).record("kernelagent_layer", "layer-asks_too_much")
    assert record.failure is not None and "gamma" in record.failure.message
