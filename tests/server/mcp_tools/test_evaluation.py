"""The measuring tools through a real client, with good and bad arguments, in both eras."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from kernel_harness.server.app import build_app
from kernel_harness.server.mcp_tools.registry import tool_schemas
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset

from ..calls import good, refused, words
from ..scripted import (
    DEFINITION,
    REFERENCE,
    ScriptedHarness,
    passed,
    solution,
    write_dataset,
    wrong,
)

pytestmark = pytest.mark.anyio


async def test_the_environment_says_what_each_missing_tool_costs(connect: Any) -> None:
    async with connect() as client:
        found = await good(client, "check_environment")
    assert found["executor"] == "interpreter"
    for tool in found["toolchain"]:
        assert tool["found"] or tool["costs"]


async def test_definitions_are_listed_with_their_varying_axes(connect: Any) -> None:
    async with connect() as client:
        found = await good(client, "list_workloads")
    assert [entry["definition"] for entry in found["definitions"]] == [DEFINITION]
    assert found["definitions"][0]["varying_axes"][0]["name"] == "rows"


async def test_workloads_come_in_pages_that_add_up(connect: Any) -> None:
    async with connect() as client:
        first = await good(client, "list_workloads", definition=DEFINITION, limit=3)
        rest = await good(
            client, "list_workloads", definition=DEFINITION, limit=3, cursor=first["next_cursor"]
        )
    assert "next_cursor" not in rest
    uuids = [w["uuid"] for page in (first, rest) for w in page["workloads"]]
    assert len(set(uuids)) == first["total"] == 5


async def test_the_summary_of_many_workloads_tells_where_the_time_goes(
    settings: Settings, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "many", rows=tuple(4**n for n in range(6)) * 5)
    harness = ScriptedHarness(settings, Dataset.load(folder, ()))
    async with Client(build_app(harness=harness)) as client:
        asked = {"definition": DEFINITION, "limit": 20, "detail": "detailed"}
        first = await good(client, "list_workloads", **asked)
        rest = await good(client, "list_workloads", **asked, cursor="20")
        lean = await good(client, "list_workloads", definition=DEFINITION, limit=20)
    assert "share of the time" in first["summary"] and "cursor='20'" in first["summary"]
    assert "Inputs in call order: x, weight. Outputs: y." in first["summary"]
    assert "last µs" in rest["summary"] and len(rest["workloads"]) == 10
    assert "cursor='20'" in lean["summary"] and "stricter than `tolerance`" in lean["summary"]
    assert "share of the time" not in lean["summary"], "its fields tell that"
    assert len(lean["regimes"]) == 3 and [one["name"] for one in lean["inputs"]] == ["x", "weight"]


async def test_a_cursor_that_no_page_gave_is_refused(connect: Any) -> None:
    async with connect() as client:
        assert "cursor" in await refused(client, "list_workloads", cursor="seven")
        assert "cursor" in await refused(
            client, "list_workloads", definition=DEFINITION, cursor="99"
        )


@pytest.mark.parametrize("name", ["rmsnorm", "rmsnorm_h128/", ' "rmsnorm_h128" '])
async def test_short_and_untidy_names_of_a_definition_are_understood(
    connect: Any, name: str
) -> None:
    async with connect() as client:
        found = await good(client, "sample_shapes", definition=name)
    assert found["definition"] == DEFINITION
    assert found["weights"]


async def test_an_unknown_definition_is_refused_with_the_nearest(connect: Any) -> None:
    async with connect() as client:
        said = await refused(client, "sample_shapes", definition="rmsnrom_h128")
    assert "rmsnorm_h128" in said


async def test_an_unknown_argument_is_refused_with_the_nearest(connect: Any) -> None:
    async with connect() as client:
        said = await refused(client, "evaluate_kernel", workspce="x")
    assert "did you mean 'workspace'" in said


async def test_an_unknown_tool_is_refused_with_the_nearest(connect: Any) -> None:
    async with connect() as client:
        assert "evaluate_kernel" in await refused(client, "evaluate_kernels")


async def test_a_wrong_value_is_refused_with_the_valid_ones(connect: Any) -> None:
    async with connect() as client:
        said = await refused(client, "evaluate_kernel", workspace="w", scope="everything")
    assert "'scope'" in said and "smoke" in said and "pydantic" not in said


def choices() -> list[tuple[str, str, list[str]]]:
    """Every argument of every tool that takes one of a few words, with those words."""

    def members(schema: Any) -> list[str]:
        if isinstance(schema, list):
            return [member for part in schema for member in members(part)]
        if not isinstance(schema, dict):
            return []
        own = [word for word in schema.get("enum", ()) if isinstance(word, str)]
        return own + [word for part in schema.values() for word in members(part)]

    return [
        (tool, name, found)
        for tool, (schema, _) in tool_schemas().items()
        for name, argument in schema["properties"].items()
        if (found := members(argument))
    ]


@pytest.mark.parametrize(("tool", "name", "words"), choices())
async def test_a_misspelt_choice_is_refused_with_all_there_are(
    connect: Any, tool: str, name: str, words: list[str]
) -> None:
    """Not taken for the one that it begins like: the work of another was done, and not said."""
    async with connect() as client:
        for word in words:
            for typed in {word[:-1], f"{word}s", word[0] + word}:
                assert typed not in words
                said = await refused(client, tool, **{name: typed})
                assert f"argument '{name}'" in said, (typed, said)
                assert all(member in said for member in words), (typed, said)


async def test_a_missing_argument_is_named(connect: Any) -> None:
    async with connect() as client:
        assert "'definition' is required" in await refused(client, "sample_shapes")


async def test_a_workspace_is_opened_evaluated_and_read_back(connect: Any) -> None:
    async with connect() as client:
        opened = await good(client, "open_workspace", definition=DEFINITION, name="w1")
        verdict = await good(
            client, "evaluate_kernel", workspace=opened["workspace"] + "/", scope="Smoke"
        )
        assert verdict["status"] == "PASSED" and verdict["scope"] == "smoke"
        again = await good(client, "get_evaluation", evaluation_id=verdict["evaluation_id"])
        assert again["evaluation_id"] == verdict["evaluation_id"]
        piece = await good(client, "read_report", uri=verdict["evaluation_uri"], section="totals")
    assert '"passed": 5' in piece["text"]


async def test_a_solution_may_come_as_an_object_or_as_json_in_a_string(connect: Any) -> None:
    async with connect() as client:
        whole = {"detail": "detailed"}
        one = await good(client, "evaluate_kernel", solution=solution(), **whole)
        two = await good(client, "evaluate_kernel", solution=json.dumps(solution()), **whole)
    assert one["content_hash"] == two["content_hash"]


async def test_exactly_one_source_of_a_candidate_is_wanted(connect: Any) -> None:
    async with connect() as client:
        assert "exactly one" in await refused(client, "evaluate_kernel")


async def test_a_workspace_outside_the_folder_is_refused(connect: Any) -> None:
    async with connect() as client:
        assert "outside" in await refused(client, "evaluate_kernel", workspace="/etc")


async def test_a_failure_tells_what_where_and_what_next_and_no_nan_leaves(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.verdict = wrong
    async with connect() as client:
        result = await client.call_tool("evaluate_kernel", {"solution": solution()})
    failure = result.structured_content["failure"]
    assert failure["output"] == "y" and failure["index"] == [0, 3]
    assert "got" not in failure
    assert "\x1b" not in failure["excerpt"]
    assert "NaN" not in words(result) and "Infinity" not in words(result)
    assert result.structured_content["next_steps"][0] == "Look at the last tile."


async def test_running_names_the_call_that_waits(connect: Any, harness: ScriptedHarness) -> None:
    harness.hold = anyio.Event()
    async with connect() as client:
        found = await good(client, "evaluate_kernel", solution=solution(), wait_s=0)
        harness.hold.set()
    assert found["status"] == "RUNNING"
    assert f"get_evaluation(evaluation_id='{found['evaluation_id']}')" in found["next_steps"][0]
    assert "not_timed_reason" not in found
    assert re.match(r"RUNNING: [^()]+\. The work goes on\.", found["summary"])


async def test_a_verdict_says_the_same_whether_the_call_waited_or_not(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        first = await good(client, "evaluate_kernel", solution=solution())
        await good(
            client,
            "archive_candidate",
            solution=solution(),
            evaluation_id=first["evaluation_id"],
            hypothesis="x is y",
        )
        waited = await good(client, "evaluate_kernel", solution=solution(), force=True)
        harness.hold = anyio.Event()
        early = await good(client, "evaluate_kernel", solution=solution(), force=True, wait_s=0)
        harness.hold.set()
        late = await good(client, "get_evaluation", evaluation_id=early["evaluation_id"])
        later = await good(client, "get_evaluation", evaluation_id=early["evaluation_id"])
    assert early["status"] == "RUNNING" and late["status"] == "PASSED"
    assert waited["seen_before"]["exact"]
    assert waited["seen_before"] == late["seen_before"] == later["seen_before"]
    identity, other = waited["evaluation_id"], late["evaluation_id"]
    assert waited["summary"].replace(identity, other) == late["summary"] == later["summary"]


async def test_progress_rises_and_says_what_is_done(connect: Any) -> None:
    seen: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))

    async with connect() as client:
        await client.call_tool("evaluate_kernel", {"solution": solution()}, progress_callback=hear)
        await anyio.sleep(0.05)
    assert [message for _, message in seen] == ["step 0", "step 1", "step 2"]
    assert all(a[0] < b[0] for a, b in zip(seen, seen[1:], strict=False))


async def test_cancelling_a_call_stops_its_work(connect: Any, harness: ScriptedHarness) -> None:
    harness.hold, harness.begun, harness.cancelled = anyio.Event(), anyio.Event(), anyio.Event()
    async with connect() as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "evaluate_kernel", {"solution": solution()})
            await harness.begun.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(30):
            await harness.cancelled.wait()
        harness.hold = None
        assert (await good(client, "evaluate_kernel", solution=solution()))["status"] == "PASSED"


async def test_a_fault_of_ours_is_told_by_reference_only(
    connect: Any, harness: ScriptedHarness, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(asked: Any) -> dict[str, Any]:
        raise ZeroDivisionError("secret detail")

    harness.verdict = broken
    async with connect() as client:
        said = await refused(client, "evaluate_kernel", solution=solution())
    assert "secret" not in said
    reference = said.split("reference ")[1].split(":")[0]
    assert reference in caplog.text and "secret detail" in caplog.text


async def test_a_definition_is_read_a_section_at_a_time(connect: Any) -> None:
    async with connect() as client:
        listed = await good(client, "list_workloads", definition=DEFINITION)
        piece = await good(client, "read_report", uri=listed["definition_uri"], section="reference")
    assert piece["text"] == REFERENCE
    assert piece["sections"] == ["definition", "reference", "policy", "workloads"]


async def test_an_unknown_report_is_refused_with_the_form_of_an_address(connect: Any) -> None:
    async with connect() as client:
        assert "kernel-harness://" in await refused(client, "read_report", uri="file:///etc/passwd")


async def test_a_hundred_workloads_still_fit_a_screen(
    connect: Any, harness: ScriptedHarness
) -> None:
    many = passed({})["workloads"] * 60
    harness.verdict = lambda asked: passed(asked) | {"workloads": many}
    async with connect() as client:
        found = await good(client, "evaluate_kernel", solution=solution(), detail="detailed")
    assert len(json.dumps(found)) < 26_000
    assert "of 300" in found["workloads_shown"]


async def test_a_verdict_is_found_by_part_of_its_id_or_by_its_address(connect: Any) -> None:
    async with connect() as client:
        verdict = await good(client, "evaluate_kernel", solution=solution())
        identity = verdict["evaluation_id"]
        for said in (identity[:-4], identity[-8:], verdict["evaluation_uri"] + "/"):
            again = await good(client, "get_evaluation", evaluation_id=said)
            assert again["evaluation_id"] == identity
        report = await good(client, "read_report", uri=identity, section="log")
    assert report["sections"]


async def test_a_path_of_a_file_means_the_workspace_that_it_is_in(connect: Any) -> None:
    async with connect() as client:
        opened = await good(client, "open_workspace", definition=DEFINITION, name="first")
        path = opened["workspace"] + "/kernel.py"
        verdict = await good(client, "evaluate_kernel", workspace=path, detail="detailed")
    assert verdict["solution_name"] == "first"


async def test_a_skill_is_read_a_slice_at_a_time_by_its_address(connect: Any) -> None:
    async with connect() as client:
        whole = await good(client, "read_report", uri="skill://optimize-kernel")
        rest = await good(client, "read_report", uri="skill://optimize-kernel/SKILL.md", offset=100)
        nearest = await refused(client, "read_report", uri="skill://optimize-kernal")
        beyond = await refused(client, "read_report", uri=whole["uri"], offset=10**6)
    assert whole["text"].startswith("---\nname: optimize-kernel")
    assert whole["text"][100:] == rest["text"]
    assert "skill://optimize-kernel/SKILL.md" in nearest
    assert "next_offset" in beyond


async def test_a_refusal_begins_with_what_was_wrong(connect: Any) -> None:
    async with connect() as client:
        told = await refused(client, "sample_shapes", definition="nothing")
        bound = await refused(client, "list_workloads", limit=1000)
        both = await refused(client, "evaluate_kernel", workspace="a", solution=solution())
        fields = await refused(client, "evaluate_kernel", solution={"name": "x"})
    assert told.startswith("Unknown definition 'nothing'.")
    assert "it should be less than or equal to 200" in bound
    assert both.startswith("Several candidates are named.")
    assert "author: Field required" in fields


async def test_one_value_in_a_list_is_that_value(connect: Any) -> None:
    async with connect() as client:
        found = await good(client, "sample_shapes", definition=[DEFINITION])
    assert found["definition"] == DEFINITION


async def test_the_judge_is_started_when_a_workspace_is_opened_and_the_settings_say_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed: list[bool] = []

    async def warm(self: ScriptedHarness) -> None:
        warmed.append(True)

    monkeypatch.setattr(ScriptedHarness, "warm", warm)
    for ahead in (False, True):
        chosen = settings.model_copy(update={"warm_ahead": ahead})
        opened = ScriptedHarness(chosen, Dataset.load(settings.kernels_dir, ()))
        async with Client(build_app(harness=opened)) as client:
            await good(client, "check_environment")
            await good(client, "list_workloads")
            assert len(warmed) == 0
            await good(client, "open_workspace", definition=DEFINITION)
            await good(client, "list_workloads")
        assert len(warmed) == int(ahead)
