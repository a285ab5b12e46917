"""Searches beside one another: figures follow from what is written of them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.agents.clients.usage import Usage
from kernel_harness.tools.agents.comparison.compared import (
    Trait,
    figures_of,
    grouped,
    mean_interval,
)
from kernel_harness.tools.agents.comparison.course import (
    CourseAxis,
    course_of,
    speedup_at,
)
from kernel_harness.tools.agents.comparison.tables import comparison_data, comparison_lines
from kernel_harness.tools.agents.records.events import (
    RoundBegan,
    RoundEnd,
    RoundEnded,
    SearchBegan,
    SearchEvent,
    StartJudged,
)
from kernel_harness.tools.agents.records.options import SearchOptions
from kernel_harness.tools.agents.records.spending import Spending
from kernel_harness.tools.agents.records.state import SearchState, state_of
from tests.server.scripted import ScriptedHarness
from tests.tools.agents.unattended import searched, stub


def search(
    *gains: float | None,
    policy: str = "best_first",
    cost: float | None = 0.5,
    agent: str = "claude -p",
    start: str = "baseline",
) -> SearchState:
    """A search whose rounds gained so much over the start; None: a wrong program."""
    options = SearchOptions(
        definition="d", agent=agent, policy=policy, rounds=len(gains), start=start
    )
    events: list[SearchEvent] = [
        SearchBegan(at=0, search_id="s", options=options, agent="claude", version="0"),
        StartJudged(at=10, candidate="a" * 12, start_us=12.0, spent=Spending(device_seconds=5.0)),
    ]
    best = 1.0
    for number, gain in enumerate(gains, start=1):
        best = max(best, gain or 0.0)
        events += [
            RoundBegan(at=100 * number, number=number, role="plan", why="", seed=1, session="s"),
            RoundEnded(
                at=100 * number + 50,
                number=number,
                end=RoundEnd.KEPT,
                candidates=["c"],
                outcomes=["failed" if gain is None else "faster"],
                spent=Spending(
                    evaluations={"sample": 2},
                    passed=int(gain is not None),
                    failed=1,
                    device_seconds=20.0,
                    usage=Usage(cost_usd=cost),
                ),
                best_us=12.0 / best,
                best_speedup=best,
            ),
        ]
    return state_of(events)


def test_a_course_says_how_far_a_search_was_on_every_axis():
    course = course_of(search(1.5, None, 2.0))
    assert [p.speedup for p in course] == [1.0, 1.5, 1.5, 2.0]
    assert [p.device_seconds for p in course] == [5.0, 25.0, 45.0, 65.0]
    assert course[-1].wall_seconds == 340.0 and course[-1].cost_usd == 1.5
    assert speedup_at(course, CourseAxis.ROUNDS, 2) == 1.5
    assert speedup_at(course, CourseAxis.DEVICE, 64.9) == 1.5
    assert speedup_at(course, CourseAxis.COST, 1.4) == 1.5


def test_figures_of_a_group_are_rates_over_its_repeats():
    figures = figures_of("g", [search(1.5, None, 2.0), search(None, None, None)])
    assert figures.right == 0.5
    assert figures.valid == pytest.approx(2 / 8)
    assert figures.fast == {1.0: 0.5, 1.2: 0.5, 1.5: 0.5, 2.0: 0.5}
    assert figures.speedup is not None
    assert figures.speedup.mean == pytest.approx(2**0.5)
    assert (figures.speedup.low, figures.speedup.high) == (1.0, pytest.approx(2.0))


def test_an_interval_narrows_with_repeats_holds_the_mean_and_repeats_itself():
    few, many = [1.5, 2.0, 2.5], [1.5, 2.0, 2.5] * 10
    first, again = mean_interval(many), mean_interval(many)
    wide = mean_interval(few)
    assert first is not None and wide is not None and first == again
    assert first.low < first.mean < first.high < wide.high
    assert mean_interval([]) is None


def test_searches_are_grouped_by_what_they_were_asked_for():
    groups = grouped([search(1.5), search(1.2, policy="ucb"), search(1.7)])
    assert [len(states) for states in groups.values()] == [2, 1]
    figures = [figures_of(name, states) for name, states in groups.items()]
    lines = comparison_lines(figures)
    assert lines[1].startswith("claude -p best_first single") and "1.6x (1.5-1.7)" in lines[1]
    assert any(line.startswith("US dollars") for line in lines)
    data = comparison_data(figures)
    assert data[0]["speedup"]["count"] == 2 and data[0]["points"][0]["axis"] == "rounds"


def test_models_and_starts_of_an_agent_are_told_apart_and_groups_are_by_what_is_asked():
    small, large = (search(1.5, agent=f"claude -p --model {name}") for name in ("s", "l"))
    other = search(1.5, start="template")
    assert list(grouped([small, large, other])) == [
        *("claude -p --model s best_first single", "claude -p --model l best_first single"),
        "claude -p best_first single from template",
    ]
    assert [len(g) for g in grouped([small, large, other], [Trait.POLICY]).values()] == [3]


def test_the_end_of_a_long_name_is_kept():
    agent = "/somewhere/far/away/bin/python -P /somewhere/else/agents/agent.py --model "
    names = grouped([search(1.5, agent=agent + "small"), search(1.7, agent=agent + "large")])
    lines = comparison_lines([figures_of(name, states) for name, states in names.items()])
    assert lines[1][:48].endswith("--model large best_first single")
    assert lines[2][:48].endswith("--model small best_first single")


def test_what_nobody_reported_costs_nothing_that_is_said():
    lines = comparison_lines([figures_of("tuner", [search(1.5, cost=None)])])
    assert not [line for line in lines if line.startswith("US dollars")]
    (costs,) = [
        line for line in lines[lines.index("Used by a search on average:") :] if "tuner" in line
    ]
    assert costs.endswith("–")


@pytest.mark.long
@pytest.mark.anyio
async def test_the_same_scripted_agents_give_the_same_comparison(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    ends = []
    for _ in range(2):
        run = await searched(device, stub("spend"), tmp_path, policy="best_of_k", rounds=2, seed=5)
        ends.append(figures_of("g", [run.state]))
    first, again = ends
    assert first.speedup == again.speedup and first.fast == again.fast
    assert first.spent.usage == again.spent.usage
