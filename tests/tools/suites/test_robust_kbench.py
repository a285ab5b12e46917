"""Tasks in robust-kbench's form become operators, and their kernels get the verdicts due."""

from __future__ import annotations

from pathlib import Path

import torch

from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.origin import read_origin
from kernel_harness.tools.suites.robust_kbench import import_robust_kbench
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.policy import Criterion
from kernel_harness.tools.workloads.solution_folder import read_solution

from . import robust_kbench_tasks
from .robust_kbench_tasks import (
    CUDA,
    KERNELS,
    WEAK,
    operator_of,
    write_tasks,
)

CASE = robust_kbench_tasks.CASE
CPU = torch.device("cpu")


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
