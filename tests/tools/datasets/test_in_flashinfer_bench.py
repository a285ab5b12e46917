"""FlashInfer-Bench's own package reads the same folders and ranks them alike.

Skipped where the package is not installed; CONTRIBUTING.md says how to install it.
"""

from __future__ import annotations

import math

import pytest

from kernel_harness.tools.datasets.merging import merge
from kernel_harness.tools.datasets.ranking import rank
from kernel_harness.tools.datasets.trace_set import read_trace_set

from .devices import LATENCIES, ScriptedDevice
from .test_run import ran

fib = pytest.importorskip("flashinfer_bench", reason="flashinfer-bench is not installed")


def test_its_totals_and_best_traces_are_ours(contest) -> None:
    ours = rank(read_trace_set(contest.root))
    theirs = fib.TraceSet.from_path(str(contest.root))
    totals = theirs.summary()
    assert (totals["total"], totals["passed"]) == (ours.summary.total, ours.summary.passed)
    assert totals["min_latency_ms"] == min(ours.summary.latencies_ms)
    any_error = {"max_abs_error": math.inf, "max_rel_error": math.inf}
    for best in ours.best:
        found = theirs.get_best_trace(best.definition, dict(best.axes), **any_error)
        assert found.solution == best.solution
        assert found.evaluation.performance.speedup_factor == best.speedup
    for name in theirs.definitions:
        own = max((b for b in ours.best if b.definition == name), key=lambda b: b.speedup or 0)
        assert theirs.get_best_trace(name, **any_error).solution == own.solution


def test_a_joined_dataset_loads_with_everything(contest, tmp_path) -> None:
    done = merge([read_trace_set(contest.root)] * 2, tmp_path / "out")
    theirs = fib.TraceSet.from_path(str(done.folder))
    assert {name: len(found) for name, found in theirs.traces.items()} == {"double": 7, "triple": 4}
    assert sum(len(found) for found in theirs.solutions.values()) == done.solutions == 5


def test_what_a_run_wrote_loads_and_ranks_alike(dataset, caplog) -> None:
    ran(dataset, ScriptedDevice(LATENCIES))
    theirs = fib.TraceSet.from_path(str(dataset.root))
    assert (theirs.summary()["passed"], theirs.summary()["failed"]) == (6, 2)
    ours = rank(read_trace_set(dataset.root))
    assert ours.solutions[0].solution == "quick"
    for axes in (None, {"m": 1}, {"m": 8}):
        best = theirs.get_best_trace("double", axes)
        assert best.solution == "quick"
        assert best.evaluation.performance.speedup_factor == pytest.approx(8)
    again = [fib.Trace.model_validate_json(t.model_dump_json()) for t in theirs.traces["double"]]
    assert again == theirs.traces["double"]
