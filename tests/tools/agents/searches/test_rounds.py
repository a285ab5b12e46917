"""Rounds of agents that do well and of agents that do not: results are the records', always."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.agents.clients.table import agent_named
from kernel_harness.tools.agents.records.events import RoundEnd
from kernel_harness.tools.agents.records.ledger import searches
from kernel_harness.tools.agents.records.state import state_of
from kernel_harness.tools.agents.round_facts import read_facts
from kernel_harness.tools.agents.searches import search_loop
from kernel_harness.tools.agents.searches.dry_run import first_start
from kernel_harness.tools.confinement import landlock
from kernel_harness.tools.errors import CapabilityError, RequestError
from tests.server.scripted import DEFINITION, ScriptedHarness
from tests.tools.agents.unattended import options, searched, stub

pytestmark = pytest.mark.anyio
CONFINED = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")


async def test_what_an_agent_leaves_is_judged_archived_and_counted(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    search = await searched(device, stub("spend"), tmp_path, rounds=2)
    first, second = search.state.finished
    assert first.end == second.end == RoundEnd.KEPT
    nodes = device.archive.nodes(*first.candidates, *second.candidates)
    assert [node.session for node in nodes] == [
        f"{search.state.began.search_id}/{n}" for n in (1, 2)
    ]
    assert nodes[0].parents == (search.state.start.candidate,)
    spent = search.state.spent
    assert spent.evaluations == {"sample": 3} and spent.device_seconds == 6.0
    assert (spent.usage.tokens_in, spent.usage.cost_usd) == (2000, 0.5)
    best = search.state.best
    timed = {n.candidate_id: n.latency_us or 0.0 for n in device.archive.iter(DEFINITION)}
    assert best.best_us == min(timed.values()) == timed[best.best]
    assert best.best_speedup == pytest.approx(search.state.start.start_us / best.best_us)
    (ledger,) = searches(device.archive.repository)
    again = state_of(ledger.events())
    assert again.finished == search.state.finished


@pytest.mark.parametrize(
    ("behaviour", "end"),
    [
        ("liar", RoundEnd.NOTHING),
        pytest.param("early", RoundEnd.NOTHING, marks=pytest.mark.long),
        ("crash", RoundEnd.AGENT_FAILED),
        ("nonsense", RoundEnd.KEPT),
        pytest.param("delete", RoundEnd.NOTHING, marks=pytest.mark.long),
        pytest.param("link", RoundEnd.NOTHING, marks=pytest.mark.long),
        pytest.param("flood", RoundEnd.NOTHING, marks=pytest.mark.long),
        pytest.param("wrong", RoundEnd.KEPT, marks=pytest.mark.long),
    ],
)
async def test_an_agent_that_misbehaves_costs_a_round_and_no_more(
    device: ScriptedHarness, tmp_path: Path, behaviour: str, end: RoundEnd
) -> None:
    search = await searched(device, stub(behaviour), tmp_path)
    (ended,) = search.state.finished
    assert ended.end == end, ended
    assert ended.words.isprintable() and len(ended.words) <= 300
    assert ended.best == search.state.start.candidate, "it was believed"
    if end is RoundEnd.KEPT:
        assert ended.outcomes == ["failed"]
    assert search.state.ended.reason == "the limit of 1 round is reached"


async def test_an_agent_that_hangs_is_ended_with_all_that_it_started(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    search = await searched(device, stub("hang"), tmp_path, round_minutes=0.03)
    (ended,) = search.state.finished
    assert ended.end == RoundEnd.OUT_OF_TIME
    mark = str(search.parts.folder.round(1).work)
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and works_in(pid) == mark]


def works_in(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


async def test_each_role_is_started_and_links_of_one_mislead_nobody(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_text("as it was")
    agent, roles = stub("roles", str(target)), ["plan", "code", "debug"]
    search = await searched(device, agent, tmp_path, roles=roles, policy="best_first")
    (round_,) = search.state.rounds.values()
    assert [(step.role, step.end) for step in round_.steps] == [("plan", "done"), ("code", "done")]
    assert round_.ended.end == RoundEnd.KEPT
    assert target.read_text() == "as it was"


@CONFINED
async def test_an_agent_can_write_nowhere_else_and_read_no_key(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    key = device.settings.signing_key
    device.keys.public()
    outside = tmp_path / "outside.txt"
    outside.write_text("as it was")
    secret = tmp_path / ".ssh" / "id"
    secret.parent.mkdir()
    secret.write_text("secret")
    tried = [
        *(f"w:{outside}", f"a:{outside}", f"r:{key}", f"w:{key}", f"r:{secret}"),
        *(f"w:{device.settings.data_dir}/new", f"w:{device.settings.archive_dir}/new"),
        *(
            f"w:{Path(__file__).parent}/new",
            "w:/tmp/kernel-harness-new",
            f"r:/proc/{os.getpid()}/environ",
        ),
    ]
    search = await searched(device, stub("elsewhere", "|".join(tried)), tmp_path)
    (ended,) = search.state.finished
    work = search.parts.folder.round(1).work
    assert json.loads((work / "opened.json").read_text()) == []
    assert ended.end == RoundEnd.AGENT_FAILED and outside.read_text() == "as it was"


async def test_a_command_that_does_not_start_ends_the_search_soon(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    command = tmp_path / "claude-code"
    command.write_text("#!/nowhere/node\n")
    command.chmod(0o755)
    search = await searched(device, f"{command} -p", tmp_path, rounds=100)
    assert len(search.state.finished) == 5
    assert {ended.end for ended in search.state.finished} == {RoundEnd.NOT_STARTED}
    assert f"evaluated nothing: {command} does not start" in search.state.ended.reason


async def test_agents_that_leave_everything_as_it_was_end_the_search_soon(
    device: ScriptedHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_loop, "FRUITLESS", 2)
    search = await searched(device, stub("liar"), tmp_path, rounds=100)
    assert [ended.end for ended in search.state.finished] == [RoundEnd.NOTHING] * 2
    assert "2 rounds in a row evaluated nothing" in search.state.ended.reason
    search = await searched(device, stub("liar"), tmp_path, rounds=3, roles=["plan"])
    assert len(search.state.finished) == 3, "who only plans evaluates nothing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"agent": "tunr"}, "Unknown agent 'tunr'.*Nearest: tuner"),
        ({"agent": "/nowhere/agent"}, "Unknown agent '/nowhere/agent'"),
        ({"start": "baselin"}, "Unknown solution.*'baselin'.*Nearest: baseline"),
        ({"start": "shippet"}, "Nearest: shipped"),
    ],
)
async def test_a_misspelt_name_is_refused_before_anything_is_written(
    device: ScriptedHarness, tmp_path: Path, changes: Any, words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        await searched(device, **{"agent": stub("better"), "home": tmp_path, **changes})
    with pytest.raises(RequestError, match=words):
        asked = options(**{"agent": stub("better"), **changes})
        first_start(device, asked, agent_named(asked.agent))
    assert not searches(device.archive.repository)


async def test_a_client_that_is_not_installed_is_refused_and_its_prompt_can_be_seen(
    device: ScriptedHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CapabilityError, match="claude is not installed here"):
        await searched(device, "claude -p", tmp_path)
    assert "# Round 1" in first_start(device, options("claude -p"), agent_named("claude -p"))


async def test_budgets_end_a_search_within_a_round(device: ScriptedHarness, tmp_path: Path) -> None:
    search = await searched(device, stub("spend"), tmp_path, rounds=50, device_seconds=3.0)
    assert search.state.ended.reason == "4 of 3 s of the device are used"
    assert search.state.spent.evaluations == {"sample": 2}
    search = await searched(device, stub("spend", "0.6"), tmp_path, rounds=50, cost_usd=1.0)
    assert search.state.ended.reason == "$1.20 of $1.00 are spent"
    assert len(search.state.finished) == 2


async def test_a_result_that_is_enough_ends_a_search(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    goal = {"number": 1.0001, "unit": "x"}
    search = await searched(device, stub("better"), tmp_path, rounds=30, goal=goal)
    assert "1.0001x was reached by" in search.state.ended.reason
    assert len(search.state.finished) < 30


async def test_an_agent_is_told_what_is_left_of_the_budgets_and_ended_with_the_hours(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    limits = {"cost_usd": 1.0, "parallel": 2, "rounds": 2, "hours": 1, "device_seconds": 42.0}
    search = await searched(device, stub("spend", "0.1"), tmp_path, **limits)
    facts = [read_facts(search.parts.folder.round(n).work) for n in (1, 2)]
    assert [f.cost_usd for f in facts] == [0.5, 0.5]
    assert [f.device_seconds for f in facts] == [20.0, 20.0], "2 s went to the start"
    assert search.parts.cost_left == pytest.approx(0.4)
    search = await searched(device, stub("hang"), tmp_path, rounds=None, hours=2 / 3600)
    assert [ended.end for ended in search.state.finished] == [RoundEnd.OUT_OF_TIME]
    assert search.state.ended.reason.endswith("h is reached")


async def test_an_agent_is_told_how_long_evaluations_of_the_search_took(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    search = await searched(device, stub("better"), tmp_path, rounds=2)
    facts = [read_facts(search.parts.folder.round(n).work) for n in (1, 2)]
    assert [f.evaluation_s for f in facts] == [None, 2.0]


@pytest.mark.parametrize(
    ("agent", "limits", "words"),
    [
        ("early", {}, "never end"),
        ("tuner 2", {"cost_usd": 5.0}, "never end"),
        ("codex exec", {"cost_usd": 5.0, "hours": 1.0}, "codex does not tell what it costs"),
    ],
)
async def test_a_search_without_an_end_is_refused(
    device: ScriptedHarness, tmp_path: Path, agent: str, limits: Any, words: str
) -> None:
    command = agent if " " in agent else stub(agent)
    with pytest.raises(RequestError, match=words):
        await searched(device, command, tmp_path, rounds=None, **limits)


@pytest.mark.long
async def test_a_search_that_money_alone_would_end_ends_where_none_is_told(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    search = await searched(device, stub("better"), tmp_path, rounds=None, cost_usd=5.0)
    assert len(search.state.finished) == 5
    assert "told of no cost" in search.state.ended.reason


async def test_a_search_stops_when_it_is_told(device: ScriptedHarness, tmp_path: Path) -> None:
    from kernel_harness.tools.agents.searches.search_loop import UnattendedSearch
    from tests.tools.agents.unattended import no_server

    agent = stub("hang")

    def show(state, parts) -> None:
        if parts.activity and (parts.folder.round(1).work / "child").exists():
            parts.folder.ask_to_stop()

    search = UnattendedSearch.opened(
        device, options(agent, rounds=5), agent_named(agent), no_server, tmp_path, show
    )
    began = time.monotonic()
    ended = await search.run()
    assert ended.reason == "it was asked to stop"
    assert [r.end for r in search.state.finished] == [RoundEnd.STOPPED]
    assert time.monotonic() - began < 60
