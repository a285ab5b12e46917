"""Operations in AutoKernel's form become operators, and their kernels get the verdicts due."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.suites import autokernel
from kernel_harness.tools.suites.autokernel import bench_modules, import_autokernel
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.probing import autokernel_facts
from kernel_harness.tools.workloads.dataset import Dataset

from .autokernel_tasks import FILES, KERNELS, LEFT_OUT, OPERATORS, write_bench
from .judged import judge_all

CPU = torch.device("cpu")


def asked_here(
    kind: str, tasks: Sequence[Mapping[str, Any]], limit_s: float
) -> Iterator[dict[str, Any]]:
    """What the probing process would answer, without starting one."""
    for task in tasks:
        yield json.loads(json.dumps(autokernel_facts.facts_of(json.loads(json.dumps(task)))))


@pytest.fixture(scope="module")
def probed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autokernel, "ask", asked_here)
        patch.setattr(autokernel_facts, "bound_memory", lambda: None)
        yield


@pytest.fixture(scope="module")
def imported(probed: None, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    folder = tmp_path_factory.mktemp("autokernel")
    return import_autokernel(write_bench(folder / "checkout"), folder / "operators")


@pytest.fixture(scope="module")
def dataset(imported: Imported) -> Dataset:
    return Dataset.load(imported.folder)


def test_every_operation_and_type_is_an_operator_or_left_out_with_its_reason(
    imported: Imported, dataset: Dataset
) -> None:
    assert not dataset.problems
    assert set(dataset.operators) == set(imported.operators) == set(OPERATORS)
    for name, words in LEFT_OUT.items():
        assert words in imported.left_out[name]
    assert "no operation 'rotary'" in imported.left_out["kernels/other.py"]
    assert len(imported.left_out) == len(LEFT_OUT) + 1


def test_sizes_are_workloads_and_edges_are_for_correctness_alone(dataset: Dataset) -> None:
    operator = dataset.operators["autokernel_scale_float16"]
    assert [w.uuid.rpartition("-")[0] for w in operator.workloads] == ["tiny", "small", "edge_7"]
    assert [uuid.rpartition("-")[0] for uuid in operator.policy.untimed] == ["edge_7"]
    assert set(operator.definition.var_axes) == {"rows", "cols"}
    tolerance = operator.policy.tolerance
    assert (tolerance.form, tolerance.atol, tolerance.rtol) == ("allclose", 1e-3, 1e-3)
    other = dataset.operators["autokernel_scale_float32"].policy.tolerance
    assert (other.atol, other.rtol) == (1e-5, 1e-5)


def test_inputs_and_outputs_are_those_of_bench(dataset: Dataset) -> None:
    before = set(sys.modules)
    operator = dataset.operators["autokernel_scale_float32"]
    adapter = OperatorAdapter(operator.definition, operator.folder)
    for workload in operator.workloads:
        case = adapter.case(workload)
        made = adapter.make_inputs(case, 5, "typical", CPU)
        other = adapter.make_inputs(case, 6, "typical", CPU)
        x = torch.as_tensor(made["x"])
        assert list(x.shape) == [workload.axes["rows"], workload.axes["cols"]]
        assert not torch.equal(x, torch.as_tensor(other["x"])) and made["factor"] == 0.5
        assert torch.equal(adapter.trusted(case, made)["out0"], x * 0.5)
    assert not {"bench", "specs", "specs.sizes"} & (set(sys.modules) - before)


def test_the_modules_of_bench_are_found_in_its_text(tmp_path: Path) -> None:
    found = bench_modules(write_bench(tmp_path))
    due = {"bench", "reference", "specs", "specs.sizes", "specs.more"}
    assert set(found.sources) == due and found.packages == ["specs"] and len(FILES) == len(due)


def test_a_folder_without_bench_or_with_a_broken_one_is_refused(
    probed: None, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="no operation of AutoKernel"):
        import_autokernel(tmp_path, tmp_path / "ops")
    (tmp_path / "bench.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(RequestError, match="a_package_that_nobody_has"):
        import_autokernel(tmp_path, tmp_path / "ops")
    (tmp_path / "bench.py").write_text("def (\n")
    with pytest.raises(RequestError, match="cannot be read"):
        import_autokernel(tmp_path, tmp_path / "ops")


@pytest.fixture(scope="module")
def judged(
    imported: Imported, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Evaluation]:
    return judge_all(imported, tmp_path_factory.mktemp("cache"))


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("file", [file for file, (_, due) in KERNELS.items() if due])
def test_a_kernel_gets_its_verdicts(file: str, judged: dict[tuple[str, str], Evaluation]) -> None:
    stem = Path(file).stem
    found = {
        operator: str(record.status)
        for (operator, name), record in judged.items()
        if name.rpartition("-")[2] == stem
    }
    assert found == KERNELS[file][1]


@pytest.mark.long
@pytest.mark.process
def test_operations_are_looked_at_in_a_process_of_its_own(tmp_path: Path) -> None:
    imported = import_autokernel(write_bench(tmp_path / "checkout"), tmp_path / "ops")
    assert set(imported.operators) == set(OPERATORS)
