"""A contest's score: means over workloads, zeros of what failed, places in tracks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.suites.contest import import_contest
from kernel_harness.tools.suites.scores.outcomes import Counting
from kernel_harness.tools.suites.scores.team_score import contest_lines, contest_score
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

from ..contest_tasks import EXPERTS, RIGHT, SCALED, said, write_contest, write_submission
from ..verdicts import verdict


@pytest.fixture
def operators(tmp_path: Path) -> dict[str, Operator]:
    write_contest(tmp_path / "all")
    for team in ("dan", "eli"):  # of other languages, which are not what a score is about
        shutil.rmtree(tmp_path / "all" / "teams" / team)
    second = {"name": f"{EXPERTS['name']}_again", "op_type": "moe"}
    place = tmp_path / "all" / "contest-dataset"
    for kind, ending in (("definitions", "json"), ("workloads", "jsonl")):
        text = (place / kind / "moe" / f"{EXPERTS['name']}.{ending}").read_text()
        text = text.replace(f'"{EXPERTS["name"]}"', f'"{second["name"]}"')
        (place / kind / "moe" / f"{second['name']}.{ending}").write_text(text)
    config = said("again", second["name"], "cid")
    write_submission(tmp_path / "all" / "teams" / "cid2", config, {"kernel.py": RIGHT})
    import_contest(tmp_path / "all", tmp_path / "ops")
    return {
        name.removeprefix("contest_"): operator
        for name, operator in Dataset.load(tmp_path / "ops").operators.items()
    }


def timed(operator: Operator, solution: str, *ratios: float, **fields: Any) -> Any:
    results = [
        {
            "uuid": workload.uuid,
            "axes": {},
            "status": "PASSED",
            "latency_us": 10.0,
            "baseline_latency_us": 10.0 * ratio,
        }
        for workload, ratio in zip(operator.workloads, ratios, strict=True)
    ]
    said = {"workloads": results, "baseline": operator.policy.baseline, **fields}
    return verdict(operator, speedup=2.0, solution=solution, **said)


def test_a_score_is_the_mean_over_workloads_and_zero_where_one_failed(
    operators: dict[str, Operator], tmp_path: Path
) -> None:
    scaled, experts = operators[SCALED["name"]], operators[EXPERTS["name"]]
    again = operators[f"{EXPERTS['name']}_again"]
    records = [
        timed(scaled, "Ann-Co--first", 1.0, 4.0),
        verdict(scaled, "INCORRECT_NUMERICAL", solution="bob--half", device="NVIDIA H200"),
        timed(experts, "bob--looks-up", 3.0),
        timed(experts, "cid--zeros", 1.0),
        timed(again, "cid--again", 2.0),
    ]
    score = contest_score("contest", tmp_path / "ops", records)
    found = {s.solution: s.speedup for s in score.submissions}
    assert found == {
        "Ann-Co--first": 2.5,
        "bob--half": 0.0,
        "dot--fused": None,
        "bob--looks-up": 3.0,
        "cid--zeros": 1.0,
        "cid--again": 2.0,
    }
    places = {track: [] for track in ("fused_moe", "gated_delta_net")}
    for place in score.places:
        places[place.track].append((place.team, place.score))
    # Nothing for one of two definitions: half of the other.
    assert places["fused_moe"] == [("bob", 1.5), ("cid", 1.5)]
    assert places["gated_delta_net"] == [("Ann-Co", 2.5), ("bob", 0.0), ("dot", None)]
    assert (score.correct.count, score.correct.of) == (4, 5)
    lines = "\n".join(contest_lines(score, "The contest"))
    assert "5 of 6 submissions have a verdict on NVIDIA H200" in lines
    assert "gated_delta_net: Ann-Co 2.50x, bob 0.00x, dot not timed." in lines
    assert f"bob 1.50x (nothing for {EXPERTS['name']}_again)" in lines
    assert {curve.name for curve in score.curves()} == {"Ann-Co", "bob", "cid", "dot"}
    alone = contest_score(
        "contest", tmp_path / "ops", records, Counting(solution="bob", missing_fail=True)
    )
    assert {s.solution for s in alone.submissions} == {"bob--half", "bob--looks-up"}


def test_what_was_compared_with_something_else_or_on_fewer_workloads_has_no_score(
    operators: dict[str, Operator], tmp_path: Path
) -> None:
    scaled = operators[SCALED["name"]]
    other = timed(scaled, "Ann-Co--first", 1.0, 4.0, baseline="another")
    score = contest_score("contest", tmp_path / "ops", [other])
    assert {s.speedup for s in score.submissions} == {None}
    assert "No places" in contest_lines(score, "The contest")[-1]
    fewer = timed(scaled, "Ann-Co--first", 1.0, 4.0)
    fewer = fewer.model_copy(update={"workloads": fewer.workloads[:1]})
    score = contest_score("contest", tmp_path / "ops", [fewer])
    assert next(s for s in score.submissions if s.status).speedup is None
