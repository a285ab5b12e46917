"""Times that tasks are ranked by: geometric, last and arithmetic mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.suites.origin import TaskOrigin
from kernel_harness.tools.suites.scores.leaderboard import leaderboard, leaderboard_lines
from kernel_harness.tools.suites.scores.outcomes import Counting
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

from ..verdicts import verdict

DEFINITION = {
    "op_type": "gpu-mode",
    "axes": {"n": {"type": "var"}},
    "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
    "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
    "reference": "def run(x):\n    return x\n",
}


@pytest.fixture
def operators(tmp_path: Path) -> dict[str, Operator]:
    """A task for each way to rank, with one test and two benchmarks."""
    for ranked_by in ("geom", "last", "mean"):
        place = tmp_path / ranked_by
        place.mkdir()
        (place / "definition.json").write_text(json.dumps({**DEFINITION, "name": ranked_by}))
        lines = [
            {"uuid": uuid, "axes": {"n": 4}, "inputs": {"x": {"type": "random"}}}
            for uuid in ("test-0", "bench-0", "bench-1")
        ]
        rows = [json.dumps({"definition": ranked_by, "workload": line}) for line in lines]
        (place / "workloads.jsonl").write_text("\n".join(rows))
        (place / "policy.toml").write_text('baseline = "reference"\nuntimed = ["test-0"]\n')
        origin = TaskOrigin(suite="gpu-mode", task=ranked_by, file="x", sha256="0")
        origin.model_copy(update={"ranked_by": ranked_by}).write(place)
    return dict(Dataset.load(tmp_path).operators)


def results(*latencies: float | None) -> list[dict[str, Any]]:
    uuids = ("test-0", "bench-0", "bench-1")
    return [
        {
            "uuid": uuid,
            "axes": {},
            "status": "PASSED",
            "latency_us": latency,
            "baseline_latency_us": 2 * latency if latency else None,
        }
        for uuid, latency in zip(uuids, latencies, strict=True)
    ]


def test_each_task_ranks_as_the_suite_says_over_its_benchmarks(
    operators: dict[str, Operator], tmp_path: Path
) -> None:
    records = [
        verdict(operator, speedup=2.0, workloads=results(None, 10.0, 40.0))
        for operator in operators.values()
    ]
    score = leaderboard("gpu-mode", tmp_path, records)
    found = {task.task: task.score_us for task in score.tasks}
    assert found == {"geom": pytest.approx(20.0), "last": 40.0, "mean": 25.0}
    assert [task.speedup for task in score.tasks] == pytest.approx([2.0] * 3)
    assert score.correct.count == 3
    said = "\n".join(leaderboard_lines(score, "gpu-mode"))
    assert "20.00 µs (geom), 2.00x the baseline" in said
    assert "Geometric mean of the speed-ups: 2.00x" in said
    assert score.curves()[0].share_above(1.9) == 1.0 and score.as_json()["suite"] == "gpu-mode"


def test_what_is_wrong_or_not_wholly_timed_has_no_time(
    operators: dict[str, Operator], tmp_path: Path
) -> None:
    records = [
        verdict(operators["geom"], "INCORRECT_NUMERICAL"),
        verdict(operators["last"], workloads=results(None, 10.0, None)),
    ]
    score = leaderboard("gpu-mode", tmp_path, records)
    assert [task.score_us for task in score.tasks] == [None, None, None]
    assert [task.status for task in score.tasks] == ["INCORRECT_NUMERICAL", "PASSED", ""]
    assert (score.correct.count, score.correct.of) == (1, 2)
    whole = leaderboard("gpu-mode", tmp_path, records, Counting(missing_fail=True))
    assert whole.correct.of == 3
    said = "\n".join(leaderboard_lines(score, "gpu-mode"))
    assert "not judged yet" in said and "Nothing was timed" in said
