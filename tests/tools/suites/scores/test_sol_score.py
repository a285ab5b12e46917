"""SOL-ExecBench's score of tasks of our own, and its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.suites.origin import TaskOrigin, read_origin
from kernel_harness.tools.suites.scores.curve_plot import draw_curves
from kernel_harness.tools.suites.scores.intervals import Curve
from kernel_harness.tools.suites.scores.outcomes import Counting
from kernel_harness.tools.suites.scores.sol_score import sol_lines, sol_score, workload_score
from kernel_harness.tools.suites.sol_execbench import import_sol_execbench
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

from ..sol_execbench_tasks import write_dataset
from ..verdicts import verdict

TIMES = {"norm-4": {"baseline": 100.0, "sol": 20.0}, "norm-7": {"baseline": 100.0, "sol": 20.0}}


@pytest.fixture
def operators(tmp_path: Path) -> dict[str, Operator]:
    write_dataset(tmp_path / "checkout", solutions=False)
    import_sol_execbench(tmp_path / "checkout", tmp_path / "ops")
    place = tmp_path / "ops" / "norm_h64"
    origin = read_origin(place)
    assert isinstance(origin, TaskOrigin)
    origin.model_copy(update={"times_us": TIMES}).write(place)
    return dict(Dataset.load(tmp_path / "ops").operators)


def results(**latencies: float | None) -> list[dict[str, Any]]:
    return [
        {
            "uuid": uuid.replace("_", "-"),
            "axes": {},
            "status": "PASSED" if latency is not None else "INCORRECT_NUMERICAL",
            "latency_us": latency,
            "baseline_latency_us": 80.0 if latency is not None else None,
            "floors_us": {"device": 10.0},
        }
        for uuid, latency in latencies.items()
    ]


def test_a_workload_is_half_at_the_baseline_and_whole_at_the_bound() -> None:
    assert workload_score(100.0, 100.0, 20.0) == 0.5
    assert workload_score(20.0, 100.0, 20.0) == workload_score(10.0, 100.0, 20.0) == 1.0
    assert workload_score(180.0, 100.0, 20.0) == pytest.approx(1 / 3)
    assert workload_score(30.0, 20.0, 20.0) is None


def test_a_task_has_the_mean_of_its_workloads_and_a_suite_that_of_its_tasks(
    operators: dict[str, Operator], tmp_path: Path
) -> None:
    norm, small = operators["norm_h64"], operators["small_values"]
    records = [
        verdict(norm, speedup=1.5, workloads=results(norm_4=20.0, norm_7=100.0)),
        verdict(small, speedup=1.1, workloads=results(small_32=80.0)),
        verdict(operators["masked_scores"], "INTEGRITY_VIOLATION", device="NVIDIA H200"),
    ]
    score = sol_score("sol-execbench", tmp_path / "ops", records)
    found = {task.task: task for task in score.tasks if task.status}
    assert found["examples/norm"].score == pytest.approx(0.75)
    assert not found["examples/norm"].own_bounds
    assert found["samples/small"].score == pytest.approx(0.5)
    assert found["samples/small"].own_bounds
    hacked = found["samples/masked"]
    assert (hacked.score, hacked.status) == (0.0, "REWARD_HACK")
    assert score.mean == pytest.approx(1.25 / 3) and score.scored == 3
    assert (score.correct.count, score.correct.of) == (2, 3)
    said = "\n".join(sol_lines(score, "SOL-ExecBench"))
    assert "Score S: 0.417" in said and "1 REWARD_HACK" in said
    assert "did not come with the task: 1 tasks (samples/small, …)" in said
    assert score.as_json()["tasks"][0]["task"]


def test_a_workload_that_failed_counts_as_nothing_and_one_untimed_leaves_no_score(
    operators: dict[str, Operator], tmp_path: Path
) -> None:
    norm = operators["norm_h64"]
    part = results(norm_4=20.0, norm_7=None)
    failed = verdict(norm, "INCORRECT_NUMERICAL", workloads=part, device="NVIDIA H200")
    score = sol_score("sol-execbench", tmp_path / "ops", [failed])
    assert [task.score for task in score.tasks if task.status] == [0.5]
    untimed = sol_score("sol-execbench", tmp_path / "ops", [verdict(norm)])
    assert untimed.mean is None
    assert "nothing was timed" in "\n".join(sol_lines(untimed, "SOL-ExecBench"))
    missing = sol_score("sol-execbench", tmp_path / "ops", [], Counting(missing_fail=True))
    assert missing.mean == 0.0 and missing.correct.of == len(operators)


def test_the_curve_falls_from_the_share_that_is_right(tmp_path: Path) -> None:
    curve = Curve("all", (0.5, 1.5, 3.0), 4)
    assert [curve.share_above(x) for x in (0.0, 0.5, 1.0, 3.0)] == [0.75, 0.5, 0.5, 0.0]
    path = tmp_path / "pictures" / "curve.svg"
    draw_curves([curve], path, "A suite", "p")
    assert "<svg" in path.read_text() and path.stat().st_size > 5_000
    with pytest.raises(RequestError, match="no curve"):
        draw_curves([Curve("all", (), 4)], path, "A suite", "p")
    with pytest.raises(RequestError, match="format"):
        draw_curves([curve], tmp_path / "curve.bmp", "A suite", "p")
