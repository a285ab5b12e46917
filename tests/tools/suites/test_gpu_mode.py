"""Tasks in gpu-mode's form become operators, and their submissions get the verdicts due."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.origin import read_origin
from kernel_harness.tools.suites.texts.gpu_mode import on_any_device
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator
from kernel_harness.tools.workloads.solution_folder import read_solution

from . import gpu_mode_tasks

CASE = gpu_mode_tasks.CASE
CPU = torch.device("cpu")


def operator_of(dataset: Dataset, name: str) -> Operator:
    return dataset.operators[f"gpu_mode_{name}"]


@pytest.mark.parametrize("name", CASE.operators)
def test_inputs_follow_the_seed_and_the_reference_is_right_by_the_task_s_own_check(
    name: str, dataset: Dataset
) -> None:
    operator = dataset.operators[name]
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
