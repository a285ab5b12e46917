"""Tasks in gpu-mode's form become operators, and their submissions get the verdicts due."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.suites import gpu_mode
from kernel_harness.tools.suites.gpu_mode import import_gpu_mode
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.origin import read_origin
from kernel_harness.tools.suites.probing import gpu_mode_facts
from kernel_harness.tools.suites.texts.gpu_mode import on_any_device
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator
from kernel_harness.tools.workloads.solution_folder import read_solution

from .gpu_mode_tasks import LEFT_OUT, SUBMISSIONS, TASKS, write_problems, write_submissions
from .judged import judge_all

REAL_FOLDER = "KERNEL_HARNESS_TEST_GPU_MODE"
"""Names a checkout of one's own, for the test that imports it."""
CPU = torch.device("cpu")
IMPORTED = [name for name in TASKS if name not in LEFT_OUT]


def asked_here(
    kind: str, tasks: Sequence[Mapping[str, Any]], limit_s: float
) -> Iterator[dict[str, Any]]:
    """What the probing process would answer, without starting one."""
    for task in tasks:
        yield gpu_mode_facts.facts_of(json.loads(json.dumps(task)))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    folder = tmp_path_factory.mktemp("gpu-mode")
    write_problems(folder / "checkout")
    submissions = write_submissions(folder / "mine")
    (submissions / "of_nothing.py").write_text("x = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_mode, "ask", asked_here)
        patch.setattr(gpu_mode_facts, "bound_memory", lambda: None)
        yield import_gpu_mode(folder / "checkout", folder / "operators", candidates=[submissions])


@pytest.fixture(scope="module")
def dataset(imported: Imported) -> Dataset:
    return Dataset.load(imported.folder)


def operator_of(dataset: Dataset, name: str) -> Operator:
    return dataset.operators[f"gpu_mode_{name}"]


def test_every_task_is_an_operator_or_left_out_with_its_reason(
    imported: Imported, dataset: Dataset
) -> None:
    assert not dataset.problems
    assert set(dataset.operators) == {f"gpu_mode_{name}" for name in IMPORTED}
    left = {Path(name).name: why for name, why in imported.left_out.items()}
    assert set(left) == {*LEFT_OUT, "of_nothing.py"}
    for name, words in LEFT_OUT.items():
        assert words in left[name]
    assert "names no task" in left["of_nothing.py"]
    assert len(imported.candidates) == len(SUBMISSIONS)


@pytest.mark.parametrize("name", IMPORTED)
def test_inputs_follow_the_seed_and_the_reference_is_right_by_the_task_s_own_check(
    name: str, dataset: Dataset
) -> None:
    operator = operator_of(dataset, name)
    adapter = OperatorAdapter(operator.definition, operator.folder)
    for workload in operator.workloads:
        case = adapter.case(workload)
        inputs = adapter.make_inputs(case, 7, "typical", CPU)
        assert list(inputs) == list(operator.definition.inputs)
        again = adapter.make_inputs(case, 7, "typical", CPU)
        other = adapter.make_inputs(case, 8, "typical", CPU)
        first = next(iter(inputs))
        assert torch.equal(torch.as_tensor(inputs[first]), torch.as_tensor(again[first]))
        assert not torch.equal(torch.as_tensor(inputs[first]), torch.as_tensor(other[first]))
        due = adapter.trusted(case, inputs)
        assert adapter.compares_together
        assert adapter.compare_together(inputs, due, due)["ok"]
        wrong = {key: value + 1 for key, value in due.items()}
        answer = adapter.compare_together(inputs, due, wrong)
        assert not answer["ok"] and "own check says" in answer["message"]


def test_sizes_that_change_are_axes_by_the_task_s_names(dataset: Dataset) -> None:
    add = operator_of(dataset, "vectoradd").definition
    assert list(add.inputs) == ["data0", "data1"] and list(add.outputs) == ["out0"]
    assert add.var_axes == ("size",)
    sizes = [w.axes["size"] for w in operator_of(dataset, "vectoradd").workloads]
    assert sizes == [33, 100, 1024, 4096]
    gated = operator_of(dataset, "gated").definition
    assert set(gated.inputs) == {"data0", "data1_up", "data1_bias", "data2_scale"}
    assert gated.const_axes == {"n8": 8} and gated.var_axes == ("rows",)
    assert operator_of(dataset, "histogram").definition.inputs["data0"].dtype == "uint8"


def test_tests_are_for_correctness_alone(dataset: Dataset) -> None:
    operator = operator_of(dataset, "vectoradd")
    kinds = [w.uuid.rsplit("-", 1)[0] for w in operator.workloads]
    assert kinds == ["test-0", "test-1", "bench-0", "bench-1"]
    assert [u.rsplit("-", 1)[0] for u in operator.policy.untimed] == ["test-0", "test-1"]
    origin = read_origin(operator.folder)
    assert origin is not None and origin.ranked_by == "geom"
    assert origin.label == "problems/mine/vectoradd"


def test_a_submission_is_taken_as_it_is_with_the_task_s_modules(imported: Imported) -> None:
    folder = next(f for f in imported.candidates if f.name == "vectoradd__same")
    solution = read_solution(folder)
    paths = {source.path for source in solution.sources}
    assert paths == {"kernel.py", "submission.py", "task.py", "utils.py", "reference.py"}
    assert not solution.spec.destination_passing_style


def test_the_word_cuda_alone_becomes_the_device_at_hand() -> None:
    source = "x = torch.ones(3, device='cuda')  # \"cuda\"\ny = 'cuda:0', \"cuda\"\n"
    made = on_any_device(source)
    assert made == "x = torch.ones(3, device=KH_DEVICE)  # \"cuda\"\ny = 'cuda:0', KH_DEVICE\n"


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no task of gpu-mode"):
        import_gpu_mode(tmp_path, tmp_path / "ops")


@pytest.fixture(scope="module")
def judged(
    imported: Imported, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Evaluation]:
    return judge_all(imported, tmp_path_factory.mktemp("cache"))


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task, name", SUBMISSIONS)
def test_a_submission_gets_its_verdict(
    task: str, name: str, judged: dict[tuple[str, str], Evaluation]
) -> None:
    record = judged[f"gpu_mode_{task}", f"{task}__{name}"]
    assert str(record.status) == SUBMISSIONS[task, name][1], record.failure


@pytest.mark.long
@pytest.mark.process
def test_a_task_is_looked_at_in_a_process_of_its_own(tmp_path: Path) -> None:
    write_problems(tmp_path / "checkout")
    imported = import_gpu_mode(tmp_path / "checkout", tmp_path / "ops")
    assert set(imported.operators) == {f"gpu_mode_{name}" for name in IMPORTED}


@pytest.mark.skipif(
    REAL_FOLDER not in os.environ,  # noqa: TID251 - the tester's own
    reason=f"{REAL_FOLDER} names no checkout",
)
def test_a_checkout_of_ones_own(tmp_path: Path) -> None:
    imported = import_gpu_mode(Path(os.environ[REAL_FOLDER]), tmp_path)  # noqa: TID251
    found = Dataset.load(tmp_path)
    assert not found.problems and set(found.operators) == set(imported.operators)
