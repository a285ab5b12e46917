"""A search in lines and as a page: what is under way, what was found, what it cost."""

from __future__ import annotations

from pathlib import Path

from kernel_harness.server.cli.searching.page import page_of, write_page
from kernel_harness.server.cli.searching.words import search_lines
from kernel_harness.tools.agents.clients.usage import Usage
from kernel_harness.tools.agents.records.events import (
    RoundBegan,
    RoundEnd,
    RoundEnded,
    SearchBegan,
    SearchEnded,
    SearchEvent,
    StartJudged,
)
from kernel_harness.tools.agents.records.options import SearchOptions
from kernel_harness.tools.agents.records.spending import Spending
from kernel_harness.tools.agents.records.state import SearchState, state_of

HOSTILE = "<script>alert(1)</script>"


def state(*more: SearchEvent, rounds: int = 3) -> SearchState:
    options = SearchOptions(definition="rmsnorm_h128", agent="claude -p", rounds=9, parallel=2)
    events: list[SearchEvent] = [
        SearchBegan(at=0, search_id="s1", options=options, agent="claude", version="0"),
        StartJudged(at=10, candidate="a" * 12, start_us=12.0, spent=Spending(device_seconds=2.0)),
    ]
    for number in range(1, rounds + 1):
        at = 60.0 * number
        events.append(
            RoundBegan(at=at, number=number, role="plan", why="", seed=1, session=f"s1/{number}")
        )
        events.append(
            RoundEnded(
                at=at + 30,
                number=number,
                end=RoundEnd.KEPT if number != 2 else RoundEnd.OUT_OF_TIME,
                candidates=[f"{number:012x}"] if number != 2 else [],
                outcomes=["faster"] if number != 2 else [],
                spent=Spending(
                    evaluations={"sample": 1},
                    device_seconds=20.0,
                    usage=Usage(tokens_in=1000, cost_usd=0.25),
                ),
                words=HOSTILE,
                best=f"{number:012x}",
                best_us=12.0 / number,
                best_speedup=float(number),
            )
        )
    events += more
    return state_of(events)


def test_lines_say_how_far_what_was_found_and_what_it_cost():
    began = RoundBegan(at=250, number=4, role="plan", why="", seed=1, session="s1/4")
    said = "\n".join(search_lines(state(began), 310.0, {4: "claude as code"}))
    assert "Rounds: 3 of 9 in 5.2 min, 1 under way." in said
    assert "4 us, first in round 3; 3x the start (12 us)" in said
    assert "3 sample; 62 s of the device" in said and "$0.75" in said
    assert "2 candidates: 2 right, 2 faster. Rounds without one: 1 out of time." in said
    assert "round 4: claude as code, 1.0 min, from the start" in said


def test_of_a_search_whose_process_died_nothing_is_said_to_be_under_way():
    began = RoundBegan(at=250, number=4, role="plan", why="", seed=1, session="s1/4")
    said = "\n".join(search_lines(state(began), 250.0, running=False))
    assert "1 cut off." in said and "round 4: cut off, from the start" in said
    assert "under way" not in said
    assert "judging" not in "\n".join(search_lines(state_of([state().began]), 9.0, running=False))


def test_what_is_done_before_the_first_round_is_told():
    began = state().began
    found = state_of([began])
    assert "judging the program that it begins with" in "\n".join(search_lines(found, 9.0))


def test_a_page_reloads_itself_until_the_end_and_runs_nobodys_script(tmp_path: Path):
    text = page_of(state(), 300.0, {4: HOSTILE})
    assert "Now (1970-01-01 00:05:00 UTC)" in text, "nothing tells a page that is no longer written"
    assert 'http-equiv="refresh"' in text and "<script" not in text and "<path d=" in text
    ended = state(SearchEnded(at=300, reason="9 rounds were asked for"))
    write_page(tmp_path / "index.html", ended, 300.0)
    text = (tmp_path / "index.html").read_text()
    assert "http-equiv" not in text and "Ended: 9 rounds were asked for." in text


def test_a_search_without_times_has_a_page_too():
    assert "Nothing to draw yet." in page_of(state(rounds=0), 20.0)
