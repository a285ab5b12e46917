"""What benchmarks/suite_round.py says of verdicts that are not due, and of time that ends."""

from __future__ import annotations

import asyncio
import io
import runpy
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return runpy.run_path(str(BENCHMARKS / "suite_round.py"))


@pytest.mark.parametrize(
    "kind, status, is_fault",
    [
        ("right", "PASSED", False),
        ("right", "INTEGRITY_VIOLATION", True),
        ("slow", "TIMEOUT", True),
        ("wrong", "INCORRECT_NUMERICAL", False),
        ("wrong", "PASSED", True),
        ("wrong", "NOT_RUN", True),
        ("wrong", "COMPILE_ERROR", True),
        ("wrong", "SKIPPED", False),
        ("right", "RUNNING", False),
    ],
)
def test_a_verdict_other_than_the_one_due_is_a_fault(
    kind: str, status: str, is_fault: bool, names: dict[str, Any]
) -> None:
    row = names["SuiteRow"]("relu", kind, status)
    assert bool(names["faults_of"]([row])) is is_fault
    told = io.StringIO()
    Console(width=120, file=told).print(names["verdict_table"]([row]))
    said = told.getvalue()
    assert (f"{status} !" in said) is is_fault and ("as due" in said) is (status == row.due)


def test_a_slow_candidate_as_fast_as_the_right_one_is_a_fault(names: dict[str, Any]) -> None:
    rows = [
        names["SuiteRow"]("relu", kind, "PASSED", latency_us=latency)
        for kind, latency in (("right", 5.0), ("slow", 4.9))
    ]
    assert names["faults_of"](rows) == ["relu: the slow candidate is as fast as the right one"]


def test_once_time_has_ended_nothing_is_judged(names: dict[str, Any], tmp_path: Path) -> None:
    places = [tmp_path / "relu" / "solutions" / f"{kind}-sample-0" for kind in names["DUE"]]
    judged = names["judge_all"](None, places, "smoke", time.monotonic(), tmp_path)
    rows, records = asyncio.run(judged)
    assert [(row.task, row.kind, row.status) for row in rows] == [
        ("relu", kind, "SKIPPED") for kind in ("right", "wrong", "slow")
    ]
    assert not records and all(row.undecided for row in rows)
