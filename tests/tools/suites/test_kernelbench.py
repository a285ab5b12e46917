"""Tasks in KernelBench's form become operators, and what cannot is listed with its reason."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.suites import kernelbench
from kernel_harness.tools.suites.kernelbench import import_kernelbench
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.origin import read_origin
from kernel_harness.tools.suites.probing import client
from kernel_harness.tools.suites.probing.client import TaskFacts
from kernel_harness.tools.suites.scores.fast_p import fast_p_score
from kernel_harness.tools.suites.scores.score_table import score_lines
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator
from kernel_harness.tools.workloads.policy import Criterion
from kernel_harness.tools.workloads.solution_folder import read_solution

from . import kernelbench_tasks
from .kernelbench_tasks import (
    IN_PROCESS,
    LEFT_OUT,
    NORM,
    NUMBER,
    PRODUCT,
    SAME_ZEROS_HALF,
    STATE,
    as_candidate,
    operator_of,
    write_candidate,
    write_checkout,
)
from .suite_case import Judging

CPU = torch.device("cpu")
CASE = kernelbench_tasks.CASE


def task_in(dataset: Dataset, name: str) -> Operator:
    return dataset.operators[operator_of(name)]


def adapter_of(operator: Operator) -> OperatorAdapter:
    return OperatorAdapter(operator.definition, operator.folder)


def called(operator: Operator, seed: int = 7) -> tuple[dict, dict]:
    """The inputs of a draw, and what the reference makes of them."""
    adapter = adapter_of(operator)
    case = adapter.case(operator.workloads[0])
    inputs = adapter.make_inputs(case, seed, adapter.families[0], CPU)
    return inputs, dict(adapter.trusted(case, inputs))


@pytest.mark.parametrize("name", [n for n in IN_PROCESS if n.removesuffix(".py") not in LEFT_OUT])
def test_a_reference_gives_what_the_definition_says_for_inputs_as_the_task_makes_them(
    name: str, dataset: Dataset
) -> None:
    operator = task_in(dataset, name)
    inputs, outputs = called(operator)
    assert list(inputs) == list(operator.definition.inputs)
    assert list(outputs) == list(operator.definition.outputs)
    again, _ = called(operator)
    other, _ = called(operator, seed=8)
    for value, same, different in zip(inputs.values(), again.values(), other.values(), strict=True):
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            assert torch.equal(value, same) and not torch.equal(value, different)


def test_a_number_among_the_inputs_is_a_scalar_that_does_not_vary(dataset: Dataset) -> None:
    operator = task_in(dataset, NUMBER)
    inputs, outputs = called(operator)
    assert (inputs["factor"], inputs["turns"], inputs["negate"]) == (3.25, 2, True)
    assert torch.allclose(outputs["out0"], -(inputs["x"] * 3.25 + 2))
    assert {n: r.values for n, r in operator.policy.scalars.items()} == {
        **{"factor": [3.25], "turns": [2], "negate": [True]},
    }


def test_weights_are_those_of_the_seed_in_train_mode(dataset: Dataset) -> None:
    inputs, outputs = called(task_in(dataset, NORM))
    torch.manual_seed(42)
    linear, norm = torch.nn.Linear(24, 20), torch.nn.BatchNorm1d(20)
    scale = torch.randn(20)
    assert torch.allclose(outputs["out0"], norm(linear(inputs["x"])) * scale, atol=1e-6)


def test_a_model_that_keeps_state_begins_every_call_anew(dataset: Dataset) -> None:
    operator = task_in(dataset, STATE)
    adapter = adapter_of(operator)
    case = adapter.case(operator.workloads[0])
    inputs = adapter.make_inputs(case, 1, "typical", CPU)
    first, second = (adapter.trusted(case, inputs) for _ in range(2))
    assert list(first) == ["out0", "out1"]
    assert torch.equal(first["out0"], second["out0"])


def test_the_policy_is_the_published_criterion(dataset: Dataset) -> None:
    policy = task_in(dataset, NORM).policy
    assert policy.tolerance.form == "allclose"
    assert (policy.tolerance.atol, policy.tolerance.rtol) == (1e-4, 1e-4)
    assert policy.criterion is Criterion.BOTH
    half = task_in(dataset, "level1/6_Half_precision_sum.py").policy.tolerance
    assert (half.atol, half.rtol) == (1e-2, 1e-2)


def test_the_published_criterion_decides_alone_where_that_is_asked_for(
    probed: None, tmp_path: Path
) -> None:
    write_checkout(tmp_path / "checkout", NUMBER)
    import_kernelbench(tmp_path / "checkout", tmp_path / "out", published_only=True)
    (operator,) = Dataset.load(tmp_path / "out").operators.values()
    assert operator.policy.criterion is Criterion.PUBLISHED


HALF = """
class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width, dtype=torch.bfloat16)
        self.norm = nn.BatchNorm1d(width, dtype=torch.bfloat16)

    def forward(self, x):
        return torch.relu(nn.functional.gelu(self.norm(self.linear(x))) + x)


def get_inputs():
    return [torch.randn(256, 64, dtype=torch.bfloat16)]


def get_init_inputs():
    return [64]
"""


def expected_in_half(
    folder: Path, *, published_only: bool
) -> tuple[OperatorAdapter, torch.Tensor, torch.Tensor]:
    """A task in bfloat16, its exact output, and the one that its model gives."""
    place = folder / "checkout/level2"
    place.mkdir(parents=True)
    (place / "1_Half.py").write_text("import torch\nimport torch.nn as nn\n\n" + HALF)
    done = import_kernelbench(
        folder / "checkout", folder / "operators", published_only=published_only
    )
    (operator,) = Dataset.load(done.folder).operators.values()
    adapter = adapter_of(operator)
    case = adapter.case(operator.workloads[0])
    inputs = adapter.make_inputs(case, 7, adapter.families[0], CPU)
    exact, usual = adapter.expected_outputs(case, inputs)
    return adapter, exact["out0"], usual["out0"]


def test_half_precision_is_held_to_exact_values_and_may_be_as_wrong_as_the_task_is(
    probed: None, tmp_path: Path
) -> None:
    adapter, exact, usual = expected_in_half(tmp_path, published_only=False)
    assert (exact.dtype, usual.dtype) == (torch.float32, torch.bfloat16)
    limits, fused = adapter.limits("out0"), exact.bfloat16()
    # By KernelBench's bound alone what is computed exactly and rounded once would be wrong.
    apart = (fused.float() - usual.float()).abs()
    assert bool((apart > limits.allowed(usual.float().abs())).any())
    for got, fits in ((fused, True), (usual, True), (fused * 1.05, False)):
        assert (check_output("out0", got, exact, usual, limits)[1] is None) is fits


def test_the_published_criterion_alone_compares_with_the_task_as_it_rounds(
    probed: None, tmp_path: Path
) -> None:
    _, expected, usual = expected_in_half(tmp_path, published_only=True)
    assert expected.dtype == torch.bfloat16 and torch.equal(expected, usual)


def test_an_operator_says_where_it_is_from(imported: Imported, dataset: Dataset) -> None:
    operator = task_in(dataset, NORM)
    origin = read_origin(operator.folder)
    assert origin is not None
    assert (origin.suite, origin.level, origin.number) == ("kernelbench", 2, 1)
    assert origin.file == f"KernelBench/{NORM}"
    assert operator.workloads[0].uuid.endswith(origin.sha256[:12])


def test_a_candidate_is_taken_as_it_is_behind_an_entry_point(imported: Imported) -> None:
    found = {(folder.parent.parent.name, folder.name): folder for folder in imported.candidates}
    solution = read_solution(found[operator_of(NORM), "same-sample-0"])
    assert solution.spec.language == "python" and not solution.spec.destination_passing_style
    sources = {source.path: source.content for source in solution.sources}
    assert sources["model_new.py"] == as_candidate(NORM)
    assert "INIT = (24, 20, (20,),)" in sources["kernel.py"]
    triton = read_solution(found[operator_of(PRODUCT), "triton-sample-0"])
    assert triton.spec.language == "triton"


def test_the_baseline_is_the_model_in_eager_mode(dataset: Dataset) -> None:
    baseline = task_in(dataset, NORM).baseline(cpu=True)
    assert baseline is not None and baseline.name == "torch_eager"


def test_what_is_written_is_python_and_toml(imported: Imported) -> None:
    for path in imported.folder.rglob("*"):
        if path.suffix == ".py" and "no_python-sample-0" not in path.parts:
            ast.parse(path.read_text(encoding="utf-8"))
        elif path.suffix == ".toml":
            tomllib.loads(path.read_text(encoding="utf-8"))


def test_sizes_are_reduced_as_far_as_they_fit_together(probed: None, tmp_path: Path) -> None:
    inner = write_checkout(tmp_path / "checkout", PRODUCT, NORM) / "KernelBench"
    task = inner / PRODUCT
    wide = task.read_text().replace("M, K, N = 24, 32, 16", "M, K, N = 4096, 2048, 32")
    task.write_text(wide + "\nassert M >= 1000  # at most by four\n")
    (inner / "level1" / "9_Latin.py").write_bytes(b"x = '\xe9'\n")
    imported = import_kernelbench(tmp_path / "checkout", tmp_path / "out", reduce_by=16)
    dataset = Dataset.load(imported.folder)
    product, norm = (task_in(dataset, name) for name in (PRODUCT, NORM))
    assert product.definition.const_axes == {"n8": 8, "n512": 512, "n1024": 1024}
    origins = [read_origin(operator.folder) for operator in (product, norm)]
    assert [origin.reduced_by for origin in origins if origin] == [4, 1]
    assert "UnicodeDecodeError" in imported.left_out["level1/9_Latin"]


def test_no_smaller_factor_is_tried_once_every_task_fits(
    probed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def probe(files: list[Path]) -> Iterator[TaskFacts | str]:
        asked.append(len(files))
        return client.probe(files)

    monkeypatch.setattr(kernelbench, "probe", probe)
    write_checkout(tmp_path / "checkout", NUMBER, NORM)
    import_kernelbench(tmp_path / "checkout", tmp_path / "out", reduce_by=16)
    assert asked == [2]


@pytest.mark.parametrize(
    "ending", ["ModelNew = Model", "class ModelNew(Model):\n    pass", "x = 1", "class ModelNew(:"]
)
def test_a_candidate_that_is_the_model_by_another_name_is_left_out(
    ending: str, probed: None, tmp_path: Path
) -> None:
    source = as_candidate(NUMBER).replace("ModelNew", "Model")
    write_candidate(tmp_path / "mine", 1, 2, f"{source}\n\n{ending}\n")
    write_checkout(tmp_path / "checkout", NUMBER)
    imported = import_kernelbench(
        tmp_path / "checkout", tmp_path / "out", candidates=[tmp_path / "mine"]
    )
    wraps = "= Model" in ending or "pass" in ending
    assert len(imported.candidates) == (not wraps)
    assert any("has no forward" in why for why in imported.left_out.values()) is wraps


def test_levels_are_found_in_a_checkout_in_its_folder_of_levels_and_alone(tmp_path: Path) -> None:
    write_checkout(tmp_path, NUMBER, NORM)
    inner = tmp_path / "KernelBench"
    for folder in (tmp_path, inner):
        assert [t.label for t in kernelbench.find_tasks(folder)] == [
            *("level1/2_Times_a_number", "level2/1_Linear_and_norm"),
        ]
    assert [t.level for t in kernelbench.find_tasks(inner / "level2")] == [2]
    assert [t.level for t in kernelbench.find_tasks(tmp_path, [1])] == [1]


@pytest.mark.long
@pytest.mark.process
def test_a_task_that_ends_its_process_or_never_ends_costs_only_itself(tmp_path: Path) -> None:
    checkout = write_checkout(tmp_path)
    endless = checkout / "KernelBench" / "level1" / "70_Endless.py"
    endless.write_text("while True:\n    pass\n", encoding="utf-8")
    files = [task.file for task in kernelbench.find_tasks(checkout)]
    found = dict(zip((f.stem for f in files), client.probe(files, limit_s=20.0), strict=True))
    assert "ended the process with 3" in str(found["4_Ends_the_process"])
    assert "had not ended after 20 s" in str(found["70_Endless"])
    whole = len(kernelbench_tasks.TASKS) - len(LEFT_OUT)
    assert sum(isinstance(facts, TaskFacts) for facts in found.values()) == whole


def record(judged: Judging, name: str, kind: str) -> Evaluation:
    return judged(CASE).record(operator_of(name), f"{kind}-sample-0")


@pytest.mark.long
@pytest.mark.process
def test_a_random_task_is_refused_and_a_constant_one_is_told(judged: Judging) -> None:
    random = record(judged, "level2/2_Some_are_dropped.py", "same")
    assert random.failure is not None and "random" in random.failure.message
    constant = record(judged, "level2/3_Always_the_same.py", "zeros")
    assert "outputs_depend_on_inputs" in {f.claim for f in constant.integrity.findings}


@pytest.mark.long
@pytest.mark.process
def test_the_score_of_one_kind_of_candidate(judged: Judging) -> None:
    folder = judged(CASE).imported.folder
    zeros = [record(judged, name, "zeros") for name in SAME_ZEROS_HALF]
    score = fast_p_score("kernelbench", folder, zeros)
    assert score.total.correct.count == 1 and score.total.correct.of == len(SAME_ZEROS_HALF) - 1
    said = "\n".join(score_lines(score, "KernelBench"))
    assert "a constant is right" in said.lower() and "INVALID_REFERENCE: 1" in said
    unbuilt = fast_p_score("kernelbench", folder, [record(judged, PRODUCT, "no_python")])
    assert unbuilt.total.compiled.count == 0 and unbuilt.total.compiled.of == 1
