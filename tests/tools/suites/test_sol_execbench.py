"""Problems in SOL-ExecBench's form become operators, and their solutions get the verdicts due."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.origin import read_origin
from kernel_harness.tools.suites.sol_execbench import import_sol_execbench
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.policy import Criterion, Nonfinite, ProcessChanges
from kernel_harness.tools.workloads.solution_folder import read_solution

from . import sol_execbench_tasks
from .sol_execbench_tasks import TASKS, write_dataset

CASE = sol_execbench_tasks.CASE
CPU = torch.device("cpu")


@pytest.mark.parametrize("name", [n for n in TASKS if "triton" not in n])
def test_a_reference_gives_what_the_definition_says_for_inputs_made_for_it(
    name: str, dataset: Dataset
) -> None:
    operator = dataset.operators[TASKS[name][0]["name"]]
    adapter = OperatorAdapter(operator.definition, operator.folder)
    for workload in operator.workloads:
        case = adapter.case(workload)
        for family in adapter.families:
            inputs = adapter.make_inputs(case, 7, family, CPU)
            assert list(inputs) == list(operator.definition.inputs)
            assert list(adapter.trusted(case, inputs)) == list(operator.definition.outputs)


def test_an_expression_is_a_size_or_a_constraint(dataset: Dataset) -> None:
    heads = dataset.operators["split_heads"]
    assert heads.definition.const_axes == {"hidden": 32, "head": 8, "count": 4}
    assert heads.definition.constraints == ["twice == 2 ** 1 * rows"]
    assert heads.workloads[0].axes == {"rows": 5, "twice": 10}
    ragged = dataset.operators["ragged_sum"]
    assert ragged.workloads[0].axes == {"tokens": 20, "sequences": 3, "bounds": 4}


def test_a_size_by_its_digits_is_an_axis_of_it(dataset: Dataset) -> None:
    definition = dataset.operators["literal_sizes"].definition
    assert definition.var_axes == ("n1",)
    assert definition.const_axes == {"width": 8, "n_1": 1, "n8": 8}
    assert definition.input_shapes({**definition.const_axes, "n1": 6}) == {
        "x": (6, 1),
        "row": (1, 8),
    }


def test_the_policy_is_the_suite_s_criterion(dataset: Dataset, tmp_path: Path) -> None:
    policy = dataset.operators["norm_h64"].policy
    assert policy.criterion is Criterion.BOTH and policy.process is ProcessChanges.REFUSED
    usual, own = policy.tolerance_of("norm-4"), policy.tolerance_of("norm-7")
    assert (usual.form, usual.atol, usual.rtol) == ("allclose", 1e-2, 1e-2)
    assert (usual.required_matched_ratio, usual.zeros) == (0.99, False)
    assert (own.atol, own.rtol, own.required_matched_ratio) == (1e-3, 2e-2, 0.95)
    masked = dataset.operators["masked_scores"].policy.tolerance_of("masked-6")
    assert masked.nonfinite is Nonfinite.NEGATIVE_INFINITY and masked.max_error == 0.5
    write_dataset(tmp_path / "checkout", solutions=False)
    alone = import_sol_execbench(tmp_path / "checkout", tmp_path / "ops", published_only=True)
    policy = Dataset.load(alone.folder).operators["norm_h64"].policy
    assert policy.criterion is Criterion.PUBLISHED


def test_inputs_follow_the_rules_of_their_names(dataset: Dataset, tmp_path: Path) -> None:
    names = "norm_weight norm_bias cos sin attn_mask routing_weights proj_weight running_std"
    definition = {
        "name": "by_name",
        "axes": {"rows": {"type": "const", "value": 64}, "width": {"type": "const", "value": 256}},
        "inputs": {n: {"shape": ["rows", "width"], "dtype": "float32"} for n in names.split()},
        "outputs": {"out": {"shape": ["rows", "width"], "dtype": "float32"}},
        "reference": "def run(a, *others):\n    return a\n",
    }
    inputs = {name: {"type": "random"} for name in names.split()}
    place = tmp_path / "checkout" / "by_name"
    place.mkdir(parents=True)
    (place / "definition.json").write_text(json.dumps(definition))
    (place / "workload.jsonl").write_text(json.dumps({"uuid": "a", "axes": {}, "inputs": inputs}))
    import_sol_execbench(tmp_path / "checkout", tmp_path / "ops")
    (operator,) = Dataset.load(tmp_path / "ops").operators.values()
    adapter = OperatorAdapter(operator.definition, operator.folder)
    case = adapter.case(operator.workloads[0])
    made = adapter.make_inputs(case, 3, "typical", CPU)
    values = {name: torch.as_tensor(value) for name, value in made.items()}
    assert bool((values["norm_weight"] == 1).all()) and not values["norm_bias"].any()
    assert float(values["cos"].abs().max()) <= 1 and float(values["sin"].std()) > 0.3
    assert set(values["attn_mask"].unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(values["routing_weights"].sum(-1), torch.ones(64))
    assert float(values["proj_weight"].std()) == pytest.approx(256**-0.5, rel=0.1)
    assert float(values["running_std"].min()) >= 0.5
    varied = torch.as_tensor(adapter.make_inputs(case, 3, "varied", CPU)["norm_weight"])
    assert float(varied.std()) > 0.1


def test_a_solution_keeps_its_sources_and_its_flags(imported: Imported) -> None:
    found = {(f.parents[1].name, f.name): f for f in imported.candidates}
    cuda = read_solution(found["small_values", "cuda"])
    assert (cuda.spec.language, cuda.spec.binding) == ("cuda", "torch")
    sources = {source.path: source.content for source in cuda.sources}
    assert "-DSCALE=1e-6f" in sources["compile_flags.toml"] and "kernel.cu" in sources
    usual = read_solution(found["small_values", "cutlass"])
    assert usual.spec.dependencies == ["nvidia-cutlass"], "whose headers are included then"
    flags = next(s.content for s in usual.sources if s.path == "compile_flags.toml")
    assert "--use_fast_math" in flags
    assert read_solution(found["norm_h64", "cute"]).spec.language == "python"
    assert read_solution(found["norm_h64", "fork"]).spec.dependencies == ["fbtriton"]
    assert read_solution(found["norm_h64", "thread"]).spec.destination_passing_style


def test_an_entry_point_that_names_a_library_is_the_file_that_exports_it(tmp_path: Path) -> None:
    write_dataset(tmp_path / "checkout", solutions=False)
    solution = {
        "name": "named as built",
        "definition": "small_values",
        "author": "tests",
        "spec": {
            "language": "cuda",
            "target_hardware": ["LOCAL"],
            "entry_point": "benchmark_kernel::run",
        },
        "sources": [{"path": "main.cu", "content": "x"}, {"path": "a.txt", "content": "y"}],
    }
    more = tmp_path / "mine"
    more.mkdir()
    (more / "a.json").write_text(json.dumps(solution))
    (more / "b.json").write_text(json.dumps({**solution, "definition": "another"}))
    (more / "c.json").write_text(json.dumps({**solution, "spec": {"languages": ["mojo"]}}))
    (more / "d.json").write_text("[")
    imported = import_sol_execbench(tmp_path / "checkout", tmp_path / "ops", candidates=[more])
    (folder,) = imported.candidates
    assert folder.name == "named_as_built"
    assert read_solution(folder).spec.entry_point == "main.cu::run"
    left = {Path(name).name: why for name, why in imported.left_out.items()}
    assert "no problem 'another'" in left["b.json"] and "mojo" in left["c.json"]
    assert "no solution" in left["d.json"]


def test_an_operator_says_where_it_is_from_and_what_times_came_with_it(tmp_path: Path) -> None:
    write_dataset(tmp_path / "checkout", solutions=False)
    place = tmp_path / "checkout" / "samples" / "small" / "workload.jsonl"
    line = json.loads(place.read_text())
    place.write_text(json.dumps({**line, "times": {"t_b_ms": 0.25, "t_sol_us": 40}}))
    import_sol_execbench(tmp_path / "checkout", tmp_path / "ops")
    origin = read_origin(tmp_path / "ops" / "small_values")
    assert origin is not None
    assert (origin.suite, origin.label) == ("sol-execbench", "samples/small")
    assert origin.times_us == {"small-32": {"baseline": 250.0, "sol": 40.0}}
