"""What is exported, in FlashInfer-Bench's own package: it loads, reports, and picks the fastest.

Skipped where the package is not installed; CONTRIBUTING.md says how to install it.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.archive.export.dataset import ExportedDataset, export_dataset
from kernel_harness.tools.archive.export.submission import pack_submission
from kernel_harness.tools.schema.evaluation import OutputError, Status
from kernel_harness.tools.schema.measurement import TimeSource

fib = pytest.importorskip("flashinfer_bench", reason="flashinfer-bench is not installed")
SEALED = {"clock": TimeSource.SEALED}
ANY = {"max_abs_error": math.inf, "max_rel_error": math.inf}
IN_NORM = [OutputError(output="y", max_absolute=0.001, worst_row_relative=0.002)]


def kernel(factor: int) -> str:
    """A program that shows, by what it computes, that it is the one that was called."""
    return f"def run(x, y):\n    y.copy_(x.float() * {factor})\n"


@pytest.fixture
def exported(bench, operators, tmp_path) -> ExportedDataset:
    """Four kernels, the second the fastest; a failure, an untimed pass and a claimed time."""
    for factor, latency_us in ((2, 8.0), (3, 2.0), (4, 8.5), (5, 4.0)):
        # The trial of the fastest had the fastest baseline beside it, as a paired ratio has.
        ratio = 1.1 if factor == 3 else 3.0
        name, words = f"times_{factor}", kernel(factor)
        bench.add(
            words,
            name=name,
            language="python",
            latency_us=latency_us,
            ratio=ratio,
            errors=IN_NORM,
            **SEALED,
        )
    bench.add(name="wrong", status=Status.INCORRECT_NUMERICAL)
    bench.add(name="untimed", latency_us=None)
    bench.add(name="claimed", latency_us=0.1)
    return export_dataset(bench.archive, operators, tmp_path / "dataset", norm_errors=True)


def test_it_loads_with_everything_in_its_place(exported: ExportedDataset) -> None:
    traces = fib.TraceSet.from_path(str(exported.folder))
    assert list(traces.definitions) == ["scale_n64"]
    assert [w.workload.uuid for w in traces.workloads["scale_n64"]] == ["w-1", "w-64"]
    names = {solution.name.rsplit("_", 1)[0] for solution in traces.solutions["scale_n64"]}
    assert {"times_2", "times_3", "times_4", "times_5", "wrong"} < names
    assert all(traces.get_solution(t.solution) for t in traces.traces["scale_n64"])
    summary = traces.summary()
    assert (summary["passed"], summary["failed"]) == (8, 2)
    assert summary["min_latency_ms"] == pytest.approx(0.002)


@pytest.mark.parametrize("axes", [None, {"m": 1}, {"m": 64}])
@pytest.mark.parametrize("thresholds", [{}, ANY])
def test_its_best_trace_is_of_the_fastest_kernel(
    exported: ExportedDataset, axes, thresholds
) -> None:
    traces = fib.TraceSet.from_path(str(exported.folder))
    best = traces.get_best_trace("scale_n64", axes, **thresholds)
    assert best.solution.startswith("times_3_")
    assert best.evaluation.performance.speedup_factor > 1


@pytest.mark.parametrize("rows", [1, 64])
def test_apply_calls_the_fastest_kernel(
    exported: ExportedDataset, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("FIB_CACHE_PATH", str(tmp_path / "cache"))
    apply = pytest.importorskip("flashinfer_bench.apply")
    config = apply.ApplyConfig(max_atol=math.inf, max_rtol=math.inf)
    traces = fib.TraceSet.from_path(str(exported.folder))
    runtime = apply.ApplyRuntime(traces, apply.ApplyConfigRegistry(default=config))
    x, y = torch.ones(rows, 64, dtype=torch.bfloat16), torch.zeros(rows, 64)
    runtime.dispatch("scale_n64", (x, y), {}, None)
    assert y.unique().tolist() == [3.0]


def test_errors_survive_its_own_writing(bench, operators, tmp_path) -> None:
    """NaN and infinities are strings in the format: it reads, writes and reads them again."""
    bench.add(errors=[OutputError(output="y", matched_ratio=1.0)], **SEALED)
    bench.add(status=Status.INCORRECT_NUMERICAL)
    done = export_dataset(bench.archive, operators, tmp_path / "dataset")
    traces = fib.TraceSet.from_path(str(done.folder)).traces["scale_n64"]
    again = [fib.Trace.model_validate_json(trace.model_dump_json()) for trace in traces]
    errors = [t.evaluation.correctness.max_relative_error for t in again]
    assert errors[:2] == [math.inf, math.inf]
    assert all(map(math.isnan, errors[2:]))
    assert len(errors) == 4


def test_its_reports_can_be_written(exported: ExportedDataset, caplog) -> None:
    main = pytest.importorskip("flashinfer_bench.cli.main")
    main.logger.addHandler(caplog.handler)
    main.logger.setLevel("INFO")
    chosen = Namespace(local=[exported.folder], hub=False)
    main.summary(chosen)
    main.best(chosen)
    main.logger.removeHandler(caplog.handler)
    assert "'passed': 8" in caplog.text
    assert "Solution: times_3_" in caplog.text


def test_its_own_packing_of_a_submission_makes_the_same_solution(trial, tmp_path) -> None:
    agents = pytest.importorskip("flashinfer_bench.agents")
    solution, _ = trial()
    packed = pack_submission([solution], tmp_path / "submission", author="team")[0]
    config: dict[str, Any] = tomllib.loads((packed.folder / "config.toml").read_text("utf-8"))
    build, said = config["build"], config["solution"]
    spec = fib.BuildSpec(target_hardware=["cuda"], **build)
    folder = packed.folder / "solution" / build["language"]
    again = agents.pack_solution_from_files(str(folder), spec, **said)
    loaded = fib.Solution.model_validate_json((packed.folder / "solution.json").read_text("utf-8"))
    assert again.hash() == loaded.hash()
    assert (again.name, again.author) == (loaded.name, "team")


def test_every_solution_of_a_dataset_has_another_identity(exported: ExportedDataset) -> None:
    traces = fib.TraceSet.from_path(str(exported.folder))
    for one, other in itertools.combinations(traces.solutions["scale_n64"], 2):
        assert one.hash() != other.hash()
