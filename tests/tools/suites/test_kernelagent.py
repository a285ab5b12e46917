"""Problems in KernelAgent's form become operators, and their kernels get the verdicts due."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.suites import kernelbench
from kernel_harness.tools.suites.kernelagent import import_kernelagent
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.probing import kernelbench_facts
from kernel_harness.tools.suites.probing.client import TaskFacts, facts_from
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.policy import Criterion

from .judged import judge_all
from .kernelagent_tasks import KERNELS, LEFT_OUT, PROBLEMS, write_problems


def probed_here(files: Sequence[Path]) -> Iterator[TaskFacts | str]:
    """What the probing process would answer, without starting one."""
    for file in files:
        yield facts_from(json.loads(json.dumps(kernelbench_facts.facts_of({"file": str(file)}))))


@pytest.fixture(scope="module")
def probed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernelbench, "probe", probed_here)
        patch.setattr(kernelbench_facts, "bound_memory", lambda: None)
        yield


@pytest.fixture(scope="module")
def imported(probed: None, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    folder = tmp_path_factory.mktemp("kernelagent")
    return import_kernelagent(write_problems(folder / "problems"), folder / "operators")


def test_every_problem_is_an_operator_or_left_out_with_its_reason(imported: Imported) -> None:
    dataset = Dataset.load(imported.folder)
    assert not dataset.problems
    names = {f"kernelagent_{name}" for name in PROBLEMS if name not in LEFT_OUT}
    assert set(dataset.operators) == set(imported.operators) == names
    assert set(imported.left_out) == set(LEFT_OUT)
    for name, words in LEFT_OUT.items():
        assert words in imported.left_out[name]
    for operator in dataset.operators.values():
        tolerance = operator.policy.tolerance
        assert (tolerance.form, tolerance.atol, tolerance.rtol) == ("allclose", 1e-2, 1e-2)
        assert operator.definition.op_type == "kernelagent" and operator.baseline() is not None


def test_kernels_are_candidates_and_tests_are_none(imported: Imported) -> None:
    found = {(f.parent.parent.name, f.name) for f in imported.candidates}
    assert found == {(f"kernelagent_{name}", f"{name}-{Path(file).stem}") for name, file in KERNELS}


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


def test_a_folder_without_problems_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no problem of KernelAgent"):
        import_kernelagent(tmp_path, tmp_path / "ops")


@pytest.fixture(scope="module")
def judged(
    imported: Imported, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Evaluation]:
    return judge_all(imported, tmp_path_factory.mktemp("cache"))


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("problem, file", KERNELS)
def test_a_kernel_gets_its_verdict(
    problem: str, file: str, judged: dict[tuple[str, str], Evaluation]
) -> None:
    record = judged[f"kernelagent_{problem}", f"{problem}-{Path(file).stem}"]
    assert str(record.status) == KERNELS[problem, file][1], record.failure
    if file == "asks_too_much.py":
        assert record.failure is not None and "gamma" in record.failure.message
