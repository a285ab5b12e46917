"""The commands compare and lessons, and what a report says of searches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.agents.records.events import (
    RoundBegan,
    RoundEnd,
    RoundEnded,
    SearchBegan,
    SearchEvent,
    StartJudged,
)
from kernel_harness.tools.agents.records.ledger import SearchLedger, SearchName
from kernel_harness.tools.agents.records.options import SearchOptions
from kernel_harness.tools.archive.git.repository import Repository
from tests.server.scripted import DEFINITION


def written(folder: Path, identity: str, agent: str, gain: float, role: str = "single") -> None:
    options = SearchOptions(definition=DEFINITION, agent=agent, rounds=1)
    events: list[SearchEvent] = [
        SearchBegan(at=1, search_id=identity, options=options, agent=agent, version="0"),
        StartJudged(at=2, start_us=10.0),
        RoundBegan(at=3, number=1, role=role, why="", seed=1, session=identity),
        RoundEnded(
            at=9,
            number=1,
            end=RoundEnd.KEPT,
            candidates=["a" * 12],
            outcomes=["faster"],
            words="<b>fast</b>",
            best="a" * 12,
            best_us=10 / gain,
            best_speedup=gain,
        ),
    ]
    repository = Repository(folder / "archive" / "repository.git")
    ledger = SearchLedger(repository, SearchName(DEFINITION, identity).ref)
    for event in events:
        ledger.append(event)
    repository.close()


@pytest.fixture
def data(here: Path) -> Path:
    written(here / "data", "s20260101-000000-aaaaaa", "claude", 2.0)
    written(here / "data", "s20260102-000000-bbbbbb", "tuner", 1.5)
    written(here / "data", "s20260103-000000-cccccc", "tuner", 1.7)
    return here / "data"


def test_searches_are_compared_all_or_by_name(data: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run(["compare"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("claude epsilon_greedy single") and "2x" in lines[1]
    assert lines[2].startswith("tuner epsilon_greedy single") and "1.6x (1.5-1.7)" in lines[2]
    assert cli.run(["compare", "mine=s20260101,s20260102", "s20260103"]) == 0
    said = capsys.readouterr().out
    assert "mine" in said and "1.73x (1.5-2)" in said
    assert cli.run(["compare", "s2026"]) == 2
    assert "could be any of" in capsys.readouterr().err


def test_repeats_in_data_folders_of_their_own_are_compared(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    for number, (agent, gain) in enumerate(
        [("tuner", 1.2), ("tuner", 1.8), ("tuner", 1.5), ("claude", 2.0), ("claude", 3.0)]
    ):
        written(here / f"night-{number}", f"s2026010{number}-000000-aaaaaa", agent, gain)
    nights = [str(here / f"night-{number}") for number in range(5)]
    assert cli.run(["compare", *nights]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("claude") and lines[1].split()[3] == "2"
    assert "2.45x (2-3)" in lines[1]
    assert lines[2].startswith("tuner") and lines[2].split()[3] == "3"
    assert "1.48x (1.2-1.8)" in lines[2]
    assert cli.run(["compare", f"A={','.join(nights[:3])}", f"B={','.join(nights[3:])}"]) == 0
    named = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in named[1:3]] == [["B", "2"], ["A", "3"]]
    assert cli.run(["compare", str(here / "nowhere")]) == 2
    assert "There is no search in this data folder" in capsys.readouterr().err


def test_the_status_names_the_other_searches(data: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run(["optimize", "status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("s20260103-000000-cccccc")
    others = lines[lines.index("Other searches:") + 1 :]
    assert [line.split()[0] for line in others] == [
        "s20260102-000000-bbbbbb",
        "s20260101-000000-aaaaaa",
    ]
    assert others[1].endswith("claude: 1 round, best 5 us, not ended")


def test_the_status_as_data_has_what_a_script_asks_for_at_the_top(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.run(["optimize", "status", "s20260102", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    asked = ("definition", "best", "best_us", "best_speedup", "start_us", "rounds_ended")
    assert [told[name] for name in asked] == [DEFINITION, "a" * 12, 10 / 1.5, 1.5, 10.0, 1]
    assert (told["evaluations"], told["device_seconds"], told["cost_usd"]) == (0, 0.0, None)
    assert told["page"].endswith("searches/s20260102-000000-bbbbbb/index.html")
    assert told["running"] is False and told["ended"] is None


def test_a_comparison_is_by_what_is_asked_for_and_drawn(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    picture = data / "courses.svg"
    assert cli.run(["compare", "--by", "policy", "--picture", str(picture)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[1].startswith("epsilon_greedy") and f"Drawn: {picture}" in said
    assert "<!-- epsilon_greedy (3) -->" in picture.read_text()
    assert cli.run(["compare", "--by", "colour"]) == 2
    assert "Unknown trait of searches" in capsys.readouterr().err


def test_a_draft_is_written_to_a_file(data: Path, capsys: pytest.CaptureFixture[str]):
    out = data / "draft.md"
    assert cli.run(["lessons", "rmsnorm", "--out", str(out)]) == 0
    assert "Check each line" in capsys.readouterr().out
    assert "unattended searches: 3." in out.read_text()


def test_a_report_tells_of_searches(data: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run(["report", "archive"]) == 0
    text = Path(capsys.readouterr().out.split()[-1]).read_text()
    assert "Unattended searches" in text and "s20260102-000000-bbbbbb" in text
    assert "<b>fast</b>" not in text and "&lt;b&gt;fast" in text
