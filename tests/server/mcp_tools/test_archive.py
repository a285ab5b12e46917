"""The remembering tools through a real client, in both eras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ..calls import good, refused
from ..scripted import DEFINITION, ScriptedHarness, solution, wrong

pytestmark = pytest.mark.anyio


async def archived(client: Client, name: str, **more: Any) -> dict[str, Any]:
    """Evaluates and archives one candidate."""
    mine = solution(name, f"return x  # {name}")
    verdict = await good(client, "evaluate_kernel", solution=mine)
    return await good(
        client,
        "archive_candidate",
        solution=mine,
        evaluation_id=verdict["evaluation_id"],
        hypothesis=f"{name} should be faster",
        **more,
    )


async def test_a_trial_is_archived_once_and_read_back(connect: Any) -> None:
    mine = solution()
    async with connect() as client:
        verdict = await good(client, "evaluate_kernel", solution=mine)
        asked = {
            "solution": mine,
            "evaluation_id": verdict["evaluation_id"],
            "hypothesis": "identity is fast",
            "lesson": "it is not the operator",
            "tags": "identity, nothing",
        }
        first = await good(client, "archive_candidate", **asked)
        second = await good(client, "archive_candidate", **asked)
        report = await good(client, "read_report", uri=first["candidate_uri"])
    assert first["candidate_id"] == second["candidate_id"]
    assert not first["already"] and second["already"]
    assert "it is not the operator" in report["text"]


async def test_a_failure_is_archived_and_found_by_its_lesson(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.verdict = wrong
    async with connect() as client:
        kept = await archived(client, "lossy", lesson="fp8 state overflows", tags=["fp8-state"])
        found = await good(client, "search_archive", definition="rmsnorm", query="overflows")
    assert [c["candidate_id"] for c in found["candidates"]] == [kept["candidate_id"]]
    assert found["open"][0]["technique"] == "fp8-state"


async def test_an_archive_without_an_answer_says_where_to_begin(connect: Any) -> None:
    async with connect() as client:
        found = await good(client, "search_archive", definition=DEFINITION)
    assert found["total"] == 0
    assert "baseline" in found["summary"]


async def test_a_bottleneck_that_no_parent_had_is_told_with_those_that_are_known(
    connect: Any,
) -> None:
    async with connect() as client:
        kept = await archived(client, "mine", tags=["tma"])
        asked = {"definition": DEFINITION, "parent": kept["candidate_id"]}
        found = await good(client, "search_archive", **asked, bottleneck="launch")
        plain = await good(client, "search_archive", **asked)
        message = await refused(client, "search_archive", parent="ffffffffffff")
    assert found["total"] == 0
    assert "No bottleneck begins with 'launch': none." in found["summary"]
    assert plain["total"] == 1 and [d["technique"] for d in plain["open"]] == ["tma"]
    assert "ffffffffffff" in message


async def test_a_search_leads_to_the_skill_that_knows(connect: Any) -> None:
    async with connect() as client:
        found = await good(client, "search_archive", query="INCONCLUSIVE interval")
    assert any("read-the-verdict" in note["skill_uri"] for note in found["skill_notes"])


async def test_an_evaluation_of_other_sources_is_refused(connect: Any) -> None:
    async with connect() as client:
        verdict = await good(client, "evaluate_kernel", solution=solution("one"))
        said = await refused(
            client,
            "archive_candidate",
            solution=solution("two", "return x * 2"),
            evaluation_id=verdict["evaluation_id"],
            hypothesis="h",
        )
    assert "sources" in said or "evaluation" in said


async def test_a_parent_is_selected_and_its_context_shown(connect: Any) -> None:
    async with connect() as client:
        root = await archived(client, "root")
        child = await archived(client, "child", parent=root["candidate_id"])
        chosen = await good(client, "select_parent", definition=DEFINITION, seed=1)
        again = await good(client, "select_parent", definition=DEFINITION, seed=1)
        window = await good(client, "get_context", role="Plan", candidate_id=child["candidate_id"])
    assert chosen["candidate_id"] == again["candidate_id"]
    assert chosen["candidate_id"] in {root["candidate_id"], child["candidate_id"], "reference"}
    assert window["role"] == "plan"
    assert {entry["relation"] for entry in window["entries"]} >= {"node", "root"}
    assert "def run(" in next(e["source"] for e in window["entries"] if e["relation"] == "root")
    assert any("+" in entry.get("diff", "") for entry in window["entries"])


async def test_selecting_from_an_empty_archive_begins_at_the_reference(connect: Any) -> None:
    async with connect() as client:
        chosen = await good(client, "select_parent", definition=DEFINITION)
    assert chosen["candidate_id"] == "reference" and "start_from='template'" in chosen["summary"]


async def test_pages_of_a_search_add_up(connect: Any) -> None:
    async with connect() as client:
        kept = {(await archived(client, f"n{number}"))["candidate_id"] for number in range(5)}
        first = await good(client, "search_archive", limit=3)
        rest = await good(client, "search_archive", limit=3, cursor=first["next_cursor"])
    assert {c["candidate_id"] for page in (first, rest) for c in page["candidates"]} == kept
    assert len(json.dumps(first)) < 24_000


async def test_a_program_that_was_archived_is_recognised_however_it_is_formatted(
    connect: Any,
) -> None:
    async with connect() as client:
        new = await good(client, "evaluate_kernel", solution=solution("old"))
        kept = await archived(client, "old")
        same = await good(
            client, "evaluate_kernel", solution=solution("old", "return x  # old"), force=True
        )
        spaced = await good(
            client, "evaluate_kernel", solution=solution("other", "return  x  # said otherwise")
        )
        other = await good(client, "evaluate_kernel", solution=solution("b", "return x + weight"))
    assert new.get("seen_before") is None
    assert same["seen_before"]["exact"] and not spaced["seen_before"]["exact"]
    assert same["seen_before"]["candidates"] == [kept["candidate_id"]]
    assert spaced["seen_before"]["candidates"] == [kept["candidate_id"]]
    assert other.get("seen_before") is None


async def test_a_broken_memory_costs_no_verdict(
    connect: Any, harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError("the disk is gone")

    async with connect() as client:
        await archived(client, "first")
        monkeypatch.setattr(harness.archive.synced, "current", broken)
        verdict = await good(client, "evaluate_kernel", solution=solution("two"))
    assert verdict["status"] == "PASSED" and verdict.get("seen_before") is None


async def test_a_candidate_is_amended_and_archived_again_with_other_words(connect: Any) -> None:
    async with connect() as client:
        root = await archived(client, "root")
        child = await archived(client, "child")
        name, parent = child["candidate_id"], root["candidate_id"]
        amended = await good(
            client, "amend_candidate", candidate_id=name, parent=[parent], note="Seen twice."
        )
        window = await good(client, "get_context", role="plan", candidate_id=parent)
        said = await refused(client, "amend_candidate", candidate_id=name)
        unknown = await refused(
            client, "amend_candidate", candidate_id=name, parent=["ffffffffffff"]
        )
        report = await good(client, "read_report", uri=child["candidate_uri"], section="notes")
    assert amended["parents"] == [parent] and amended["notes"][0].startswith("Seen twice. (")
    assert name in {e["candidate_id"] for e in window["entries"] if e["relation"] == "child"}
    assert "says nothing" in said and "ffffffffffff" in unknown
    assert "Seen twice." in report["text"]


async def judged_workspace(client: Client, start_from: str, body: str) -> dict[str, Any]:
    """Opens a workspace, writes a kernel into it and has it judged; the verdict and its path."""
    opened = await good(client, "open_workspace", definition=DEFINITION, start_from=start_from)
    source = Path(opened["workspace"]) / opened["entry_point"].partition("::")[0]
    source.write_text(f"def run(x, weight, y):\n    {body}\n")
    verdict = await good(client, "evaluate_kernel", workspace=opened["workspace"])
    return {**verdict, "workspace": opened["workspace"]}


def words(verdict: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The arguments that archive a verdict."""
    asked = {name: verdict[name] for name in ("workspace", "evaluation_id")}
    return {**asked, "hypothesis": "faster", **more}


async def test_every_verdict_is_a_commit_and_a_forgotten_parent_cuts_no_tree(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        first = await judged_workspace(client, "template", "y.copy_(x + 0)")
        root = await good(client, "archive_candidate", **words(first))
        second = await judged_workspace(client, root["candidate_id"], "y.copy_(x + 1)")
        third = await judged_workspace(client, second["evaluation_id"], "y.copy_(x + 2)")
        child = await good(client, "archive_candidate", **words(third))
        apart = await judged_workspace(client, child["candidate_id"], "y.copy_(x + 3)")
        other = await good(client, "archive_candidate", **words(apart, parent=[]))
    assert "parents" not in root and child["parents"] == [root["candidate_id"]]
    assert "nearest archived ancestor" in child["summary"]
    assert "parents" not in other
    trials = harness.archive.trials
    names = {ref.rpartition("/")[2] for ref in trials.refs()}
    verdicts = (first, second, third, apart)
    assert names == {verdict["evaluation_id"] for verdict in verdicts}
    assert trials.read(third["evaluation_id"]).parents == (second["evaluation_id"],)


async def test_a_trial_that_a_workspace_was_opened_from_is_archived_by_its_evaluation_alone(
    connect: Any,
) -> None:
    async with connect() as client:
        first = await judged_workspace(client, "template", "y.copy_(x + 0)")
        second = await judged_workspace(client, first["evaluation_id"], "y.copy_(x + 1)")
        child = await good(client, "archive_candidate", **words(second))
        way = f"archive_candidate(evaluation_id='{first['evaluation_id']}', hypothesis=…)"
        assert "parents" not in child and way in child["summary"]
        root = await good(
            client,
            "archive_candidate",
            evaluation_id=first["evaluation_id"],
            hypothesis="where it began",
        )
        parent = [root["candidate_id"]]
        amended = await good(
            client, "amend_candidate", candidate_id=child["candidate_id"], parent=parent
        )
        unknown = await refused(
            client, "archive_candidate", evaluation_id="ev-20200101-000000-0a0a0a0a", hypothesis="-"
        )
    assert amended["parents"] == parent and "ev-20200101-000000-0a0a0a0a" in unknown


async def test_a_verdict_outlives_a_repository_that_cannot_be_written(
    connect: Any, harness: ScriptedHarness
) -> None:
    (harness.settings.archive_dir).mkdir(parents=True)
    (harness.settings.archive_dir / "repository.git").write_text("in the way")
    async with connect() as client:
        verdict = await good(client, "evaluate_kernel", solution=solution())
    assert verdict["status"] == "PASSED" and "In no commit yet" in verdict["summary"]
