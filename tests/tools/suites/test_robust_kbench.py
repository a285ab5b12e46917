"""Tasks in robust-kbench's form become operators, and their kernels get the verdicts due."""

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
from kernel_harness.tools.suites import robust_kbench
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.origin import read_origin
from kernel_harness.tools.suites.probing import robust_kbench_facts
from kernel_harness.tools.suites.robust_kbench import import_robust_kbench
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.policy import Criterion
from kernel_harness.tools.workloads.solution_folder import read_solution

from .judged import judge_all
from .robust_kbench_tasks import (
    BACKWARDS,
    BACKWARDS_LEFT_OUT,
    CUDA,
    KERNELS,
    LEFT_OUT,
    TASKS,
    WEAK,
    operator_of,
    write_tasks,
)

REAL_FOLDER = "KERNEL_HARNESS_TEST_ROBUST_KBENCH"
"""Names a checkout of one's own, for the test that imports it."""
CPU = torch.device("cpu")
IMPORTED = [
    *(f"robust_kbench_{name}" for name in TASKS if name not in LEFT_OUT),
    *(f"robust_kbench_{name}_backward" for name in BACKWARDS if name not in BACKWARDS_LEFT_OUT),
]
NOT_IMPORTED = {**LEFT_OUT, **{f"{name} backward": w for name, w in BACKWARDS_LEFT_OUT.items()}}


def asked_here(
    kind: str, tasks: Sequence[Mapping[str, Any]], limit_s: float
) -> Iterator[dict[str, Any]]:
    """What the probing process would answer, without starting one."""
    for task in tasks:
        yield json.loads(json.dumps(robust_kbench_facts.facts_of(json.loads(json.dumps(task)))))


@pytest.fixture(scope="module")
def probed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust_kbench, "ask", asked_here)
        patch.setattr(robust_kbench_facts, "bound_memory", lambda: None)
        yield


@pytest.fixture(scope="module")
def imported(probed: None, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    folder = tmp_path_factory.mktemp("robust")
    return import_robust_kbench(write_tasks(folder / "checkout"), folder / "operators")


@pytest.fixture(scope="module")
def dataset(imported: Imported) -> Dataset:
    return Dataset.load(imported.folder)


def test_every_task_is_an_operator_or_left_out_with_its_reason(
    imported: Imported, dataset: Dataset
) -> None:
    assert not dataset.problems
    assert set(dataset.operators) == set(IMPORTED)
    assert set(imported.left_out) == set(NOT_IMPORTED), imported.left_out
    for name, words in NOT_IMPORTED.items():
        assert words in imported.left_out[name]
    assert len(imported.candidates) == len(KERNELS)


def test_a_task_that_the_suite_s_filters_drop_is_named(
    imported: Imported, dataset: Dataset
) -> None:
    assert set(imported.warnings) == {f"robust_kbench_{name}" for name in WEAK}
    for name, words in WEAK.items():
        operator = dataset.operators[f"robust_kbench_{name}"]
        origin = read_origin(operator.folder)
        assert origin is not None and any(words in warning for warning in origin.warnings)
        assert words in imported.warnings[operator.name]


def test_every_combination_of_configurations_is_a_workload(dataset: Dataset) -> None:
    operator = dataset.operators["robust_kbench_norm"]
    assert len(operator.workloads) == 2 * 2 * 2
    assert set(operator.definition.var_axes) == {"batch_size", "features"}
    assert list(operator.definition.inputs) == ["x", "weight", "bias", "eps"]
    adapter = OperatorAdapter(operator.definition, operator.folder)
    kinds = set()
    for workload in operator.workloads:
        case = adapter.case(workload)
        made = adapter.make_inputs(case, 5, "typical", CPU)
        other = adapter.make_inputs(case, 6, "typical", CPU)
        inputs = {name: torch.as_tensor(value) for name, value in made.items()}
        assert not torch.equal(inputs["x"], torch.as_tensor(other["x"]))
        standard = bool((inputs["weight"] == 1).all())
        kinds.add(standard)
        assert standard is (operator.structure[workload.uuid]["init"]["init_method"] == "standard")
        due = torch.nn.functional.layer_norm(
            inputs["x"], inputs["weight"].shape, inputs["weight"], inputs["bias"], 1e-5
        )
        assert torch.allclose(adapter.trusted(case, made)["out0"], due, atol=1e-6)
    assert kinds == {True, False}


def test_a_backward_is_an_operator_of_what_backward_fn_is_handed(dataset: Dataset) -> None:
    operator = dataset.operators["robust_kbench_norm_backward"]
    assert len(operator.workloads) == 2 * 2
    inputs = ["grad_output", "x", "weight", "bias", "eps", "value50"]
    assert list(operator.definition.inputs) == inputs
    adapter = OperatorAdapter(operator.definition, operator.folder)
    for workload in operator.workloads:
        case = adapter.case(workload)
        made = adapter.make_inputs(case, 5, "typical", CPU)
        taken = [torch.as_tensor(made[n]).clone().requires_grad_() for n in inputs[1:4]]
        x, weight, bias = taken
        out = torch.nn.functional.layer_norm(x, weight.shape, weight, bias, 1e-5)
        due = torch.autograd.grad(out, taken, torch.as_tensor(made["grad_output"]))
        found = adapter.trusted(case, made)
        assert list(found) == ["out0", "out1", "out2"]
        for ours, gradient in zip(found.values(), due, strict=True):
            assert torch.allclose(ours, gradient, atol=1e-5)


def test_what_a_backward_is_not_handed_is_made_where_no_gradient_depends_on_it(
    dataset: Dataset,
) -> None:
    operator = dataset.operators["robust_kbench_linear_backward"]
    assert list(operator.definition.inputs) == ["grad_output", "x", "weight"]
    assert set(operator.definition.var_axes) >= {"rows", "out"} and len(operator.workloads) == 4
    adapter = OperatorAdapter(operator.definition, operator.folder)
    for workload in operator.workloads:
        case = adapter.case(workload)
        made = adapter.make_inputs(case, 5, "typical", CPU)
        gradient = torch.as_tensor(made["grad_output"])
        assert torch.allclose(adapter.trusted(case, made)["out2"], gradient.sum(0), atol=1e-5)


def test_kernels_go_to_the_function_that_they_have(imported: Imported) -> None:
    places = {folder.name: folder.parent.parent.name for folder in imported.candidates}
    due = {f"{task}-{Path(file).stem}": operator_of(task, file) for task, file in KERNELS}
    assert places == due
    folder = next(f for f in imported.candidates if f.name == "loss-backward")
    assert read_solution(folder).spec.entry_point == "backward.cu::backward"


def test_none_is_handed_over_as_the_task_does(dataset: Dataset) -> None:
    definition = dataset.operators["robust_kbench_residual"].definition
    assert list(definition.inputs) == ["x", "scale"]
    assert definition.inputs["scale"].shape is None


def test_the_policy_is_the_suite_s_criterion(
    dataset: Dataset, probed: None, tmp_path: Path
) -> None:
    policy = dataset.operators["robust_kbench_norm"].policy
    tolerance = policy.tolerance
    assert (tolerance.form, tolerance.atol, tolerance.rtol) == ("allclose", 1e-5, 1e-5)
    assert policy.criterion is Criterion.BOTH and policy.baseline == "torch_eager"
    checkout = write_tasks(tmp_path / "checkout")
    import_robust_kbench(checkout, tmp_path / "ops", published_only=True)
    alone = Dataset.load(tmp_path / "ops").operators["robust_kbench_norm"].policy
    assert alone.criterion is Criterion.PUBLISHED


def test_a_cuda_kernel_is_taken_as_it_is_where_it_can_be_called(
    imported: Imported, probed: None, tmp_path: Path
) -> None:
    folder = next(f for f in imported.candidates if f.name == "norm-forward")
    solution = read_solution(folder)
    assert (solution.spec.language, solution.spec.binding) == ("cuda", "torch")
    assert solution.spec.entry_point == "forward.cu::forward"
    assert [source.path for source in solution.sources] == ["forward.cu"]
    for place in ("residual", "nothing"):
        (tmp_path / "mine" / place).mkdir(parents=True)
        (tmp_path / "mine" / place / "forward.cu").write_text(CUDA)
    checkout = write_tasks(tmp_path / "checkout")
    more = import_robust_kbench(checkout, tmp_path / "ops", candidates=[tmp_path / "mine"])
    assert "None or a list" in more.left_out["residual/forward.cu"]
    assert "no task 'nothing'" in more.left_out["nothing/forward.cu"]


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no task of robust-kbench"):
        import_robust_kbench(tmp_path, tmp_path / "ops")


@pytest.fixture(scope="module")
def judged(
    imported: Imported, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Evaluation]:
    return judge_all(imported, tmp_path_factory.mktemp("cache"))


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task, file", KERNELS)
def test_a_kernel_gets_its_verdict(
    task: str, file: str, judged: dict[tuple[str, str], Evaluation]
) -> None:
    record = judged[operator_of(task, file), f"{task}-{Path(file).stem}"]
    assert str(record.status) == KERNELS[task, file][1], record.failure


@pytest.mark.long
@pytest.mark.process
def test_tasks_are_looked_at_in_a_process_of_its_own(tmp_path: Path) -> None:
    imported = import_robust_kbench(write_tasks(tmp_path / "checkout"), tmp_path / "ops")
    assert set(imported.operators) == set(IMPORTED)


@pytest.mark.skipif(
    REAL_FOLDER not in os.environ,  # noqa: TID251 - the tester's own
    reason=f"{REAL_FOLDER} names no checkout",
)
def test_a_checkout_of_ones_own(tmp_path: Path) -> None:
    imported = import_robust_kbench(Path(os.environ[REAL_FOLDER]), tmp_path)  # noqa: TID251
    found = Dataset.load(tmp_path)
    assert not found.problems and set(found.operators) == set(imported.operators)
