"""Operations in AutoKernel's form become operators, and their kernels get the verdicts due."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.suites.autokernel import bench_modules, import_autokernel
from kernel_harness.tools.workloads.dataset import Dataset

from . import autokernel_tasks
from .autokernel_tasks import FILES, write_bench

CASE = autokernel_tasks.CASE
CPU = torch.device("cpu")


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


def test_a_folder_with_a_broken_bench_is_refused(probed: None, tmp_path: Path) -> None:
    (tmp_path / "bench.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(RequestError, match="a_package_that_nobody_has"):
        import_autokernel(tmp_path, tmp_path / "ops")
    (tmp_path / "bench.py").write_text("def (\n")
    with pytest.raises(RequestError, match="cannot be read"):
        import_autokernel(tmp_path, tmp_path / "ops")
