"""A dataset's solutions run on a GPU: the reference timed once, traces that rank by latency."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from kernel_harness.tools.datasets.jobs import Chosen, jobs_by_folder
from kernel_harness.tools.datasets.ranking import rank
from kernel_harness.tools.datasets.run import DatasetRun, RunOptions
from kernel_harness.tools.datasets.trace_set import read_trace_set
from kernel_harness.tools.datasets.trace_writer import TraceWriter
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.settings import Settings

from ..tools.datasets.folders import DatasetFolder

pytestmark = pytest.mark.gpu

ONCE = "def run(x, y):\n    y.copy_(x + x)\n"
SLOWLY = "def run(x, y):\n    for _ in range(40):\n        y.copy_(x * 2)\n"
WRONG = "def run(x, y):\n    y.copy_(x * 3)\n"


def test_solutions_of_a_dataset_are_timed_and_rank_by_latency(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path / "dataset")
    tensor = {"shape": ["m", "n"], "dtype": "float32"}
    axes = {"m": {"type": "var"}, "n": {"type": "const", "value": 4096}}
    folder.definition(axes=axes, inputs={"x": tensor}, outputs={"y": tensor})
    folder.workloads(64, 1024)
    for name, author, source in (
        ("once", "baseline", ONCE),
        ("slowly", "ann", SLOWLY),
        ("wrong", "bob", WRONG),
    ):
        folder.solution(name, author, source=source)
    harness = Harness.open(Settings(data_dir=tmp_path, dataset=(folder.root,), warm_ahead=False))

    async def ran():
        jobs = jobs_by_folder({folder.root: harness.dataset}, Chosen())[folder.root]
        options = RunOptions(scope=Scope.SMOKE)
        writer = TraceWriter(folder.root)
        run = DatasetRun({harness.device: harness.evaluations}, writer, options)
        try:
            return await run.run(jobs)
        finally:
            await harness.aclose()

    results = {r.solution: r for r in asyncio.run(ran())}
    assert results["once"].status is Status.PASSED, results["once"].reason
    assert results["wrong"].status is Status.INCORRECT_NUMERICAL
    found = rank(read_trace_set(folder.root))
    assert [s.solution for s in found.solutions] == ["once", "slowly", "wrong"]
    assert found.best[0].solution == "once"
    # The reference computes the same in two launches' time at most.
    assert found.best[0].speedup is not None and 0.3 < found.best[0].speedup < 5
    slow = next(s for s in found.solutions if s.solution == "slowly")
    assert slow.score is not None and slow.score < 0.5
    fib = pytest.importorskip("flashinfer_bench", reason="flashinfer-bench is not installed")
    theirs = fib.TraceSet.from_path(str(folder.root))
    best = theirs.get_best_trace("double", None, math.inf, math.inf)
    assert best.solution == "once"
