"""Trajectories: each line tells the state before, what was tried, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.archive.export.dataset import export_dataset
from kernel_harness.tools.archive.export.trajectories import export_trajectories
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Status


def lines(bench, operators, out: Path) -> list[dict[str, Any]]:
    assert export_trajectories(bench.archive, operators, out) > 0

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = out.read_text("utf-8")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_a_step_holds_state_action_and_outcome(bench, operators, tmp_path, definition) -> None:
    root = bench.add(latency_us=10.0, technique=["plain"])
    child = bench.add(
        latency_us=4.0, parents=[root.candidate_id], hypothesis="Fewer loads.", lesson="It helps."
    )
    first, second = lines(bench, operators, tmp_path / "steps.jsonl")
    assert first["state"]["sources"] == {}
    assert first["state"]["best_before_us"] is None
    assert first["state"]["reference"] == definition.reference
    assert first["action"]["technique"] == ["plain"]
    assert second["candidate_id"] == child.candidate_id
    assert second["state"]["sources"] == first["action"]["sources"]
    assert second["state"]["parents"][0]["candidate_id"] == root.candidate_id
    assert second["state"]["best_before_us"] == first["outcome"]["latency_us"] == 15.0
    assert second["action"]["hypothesis"] == "Fewer loads."
    assert second["action"]["sources"] != second["state"]["sources"]
    assert (second["outcome"]["outcome"], second["outcome"]["latency_us"]) == ("faster", 6.0)
    assert second["outcome"]["lesson"] == "It helps."
    assert [w["uuid"] for w in second["outcome"]["workloads"]] == ["w-1", "w-64"]


def test_failures_are_steps_with_their_reason(bench, operators, tmp_path) -> None:
    bench.add(status=Status.INCORRECT_NUMERICAL, source="def run(x, y):\n\ty.zero_()\r\n")
    (step,) = lines(bench, operators, tmp_path / "steps.jsonl")
    assert step["outcome"]["status"] == "INCORRECT_NUMERICAL"
    assert step["outcome"]["failure"]["kind"] == "wrong_values"
    assert step["outcome"]["latency_us"] is None
    assert step["action"]["sources"]["kernel.py"] == "def run(x, y):\n\ty.zero_()\r\n"


def test_what_counts_nowhere_is_no_step(bench, operators, tmp_path, machine) -> None:
    type(bench)(bench.archive, machine("stranger")).add(latency_us=1.0)
    mine = bench.add(latency_us=9.0)
    (step,) = lines(bench, operators, tmp_path / "steps.jsonl")
    assert step["candidate_id"] == mine.candidate_id
    assert step["state"]["candidates_before"] == 0


def test_a_file_that_exists_is_left_alone(bench, operators, tmp_path) -> None:
    (tmp_path / "steps.jsonl").write_text("mine")
    with pytest.raises(RequestError, match="exists"):
        export_trajectories(bench.archive, operators, tmp_path / "steps.jsonl")
    assert (tmp_path / "steps.jsonl").read_text() == "mine"


def test_a_trial_that_was_not_archived_is_a_step_and_one_that_was_is_one(
    bench, operators, tmp_path, trial, definition
) -> None:
    kept = bench.add(latency_us=10.0)
    record = bench.archive.get(kept.candidate_id)
    bench.archive.trials.write(record.solution(), record.evaluation, definition)
    start = [(kept.candidate_id, kept.commit)]
    solution, evaluation = trial(
        "ev-20260101-000500-0badcafe", latency_us=4.0, at="2026-01-01T00:05:00+00:00"
    )
    bench.archive.trials.write(solution, evaluation, definition, start)
    first, second = lines(bench, operators, tmp_path / "steps.jsonl")
    assert (first["candidate_id"], first["archived"]) == (kept.candidate_id, True)
    assert (second["candidate_id"], second["archived"]) == (evaluation.evaluation_id, False)
    assert second["state"]["parents"][0]["candidate_id"] == kept.candidate_id
    assert second["state"]["sources"] == first["action"]["sources"]
    assert (second["action"]["hypothesis"], second["outcome"]["latency_us"]) == ("", 6.0)


def test_a_trial_that_cannot_be_read_ends_no_export(
    bench, operators, tmp_path, trial, definition
) -> None:
    bench.add(latency_us=10.0)
    solution, evaluation = trial("ev-20260101-000500-0badcafe", latency_us=4.0)
    ref = bench.archive.trials.write(solution, evaluation, definition)
    bad = bench.archive.repository.path / f"{ref.rpartition('/')[0]}/ev-20260101-000600-0badcafe"
    bad.write_text("12" * 20 + "\n", encoding="ascii")
    assert len(lines(bench, operators, tmp_path / "steps.jsonl")) == 2
    assert export_dataset(bench.archive, operators, tmp_path / "out").counts["definition"] == 1
