"""What clients rely on: names, schemas, annotations, and words an agent can act on."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.server.mcp_tools.registry import LISTED_FILE

ROOT = Path(__file__).resolve().parents[2]
AVOIDED = re.compile(r"\b(score|fitness|reward|job|task|utils?|helper|misc|champion)s?\b", re.I)
ASKS_A_PERSON = {"rollback_promotion", "rank_model"}
PROMISED = {
    "check_environment": {"executor", "toolchain", "isolation", "archive_path", "dataset_paths"},
    "list_workloads": {"definitions", "workloads", "regimes", "tolerance", "next_cursor"},
    "sample_shapes": {"regimes", "weights", "workload_digest"},
    "open_workspace": {"workspace", "files", "notes"},
    "evaluate_kernel": {
        *("evaluation_id", "status", "stage", "failure", "workloads", "totals"),
        *("evidence", "integrity", "next_steps"),
    },
    "get_evaluation": {"evaluation_id", "status", "stage"},
    "read_report": {"text", "next_offset", "sections"},
    "archive_candidate": {"candidate_id", "commit", "ref", "decision"},
    "search_archive": {"candidates", "blocked", "recommended"},
    "select_parent": {"candidate_id", "why"},
    "profile_ncu": {"workloads", "differences", "profile_uri"},
    "profile_timeline": {"workloads"},
    "promote_candidate": {"status", "rules"},
}


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """The contract as it is now."""
    return json.loads(runpy.run_path(str(ROOT / "scripts" / "update_contract.py"))["text"]())


@pytest.fixture(scope="module")
def tools(written: dict[str, Any]) -> dict[str, Any]:
    return written["tools"]


def test_the_contract_changes_only_on_purpose(written: dict[str, Any]) -> None:
    snapshot = ROOT / "tests" / "server" / "snapshots" / "contract.json"
    assert written == json.loads(snapshot.read_text(encoding="utf-8")), (
        "the server's contract changed; if that was wanted: python scripts/update_contract.py"
    )


def test_the_list_of_tools_that_is_served_is_what_the_functions_say() -> None:
    listed = runpy.run_path(str(ROOT / "scripts" / "update_contract.py"))["listed"]()
    assert LISTED_FILE.read_text(encoding="utf-8") == listed, (
        "clients are told of other tools than there are: python scripts/update_contract.py"
    )


def test_every_promised_tool_and_field_is_there(tools: dict[str, Any]) -> None:
    for name, fields in PROMISED.items():
        assert fields <= set(tools[name]["output_schema"]["properties"]), name


def test_every_tool_is_annotated_so_that_a_headless_client_may_call_it(
    tools: dict[str, Any],
) -> None:
    for name, tool in tools.items():
        hints = tool["annotations"]
        assert hints["open_world_hint"] is False, name
        free = hints.get("read_only_hint") or hints["destructive_hint"] is False
        assert free is (name not in ASKS_A_PERSON), name


def test_a_summary_comes_first_in_every_structured_result(tools: dict[str, Any]) -> None:
    for name, tool in tools.items():
        if "output_schema" in tool:
            assert next(iter(tool["output_schema"]["properties"])) == "summary", name


def test_unknown_arguments_are_declared_unwelcome(tools: dict[str, Any]) -> None:
    assert all(t["input_schema"]["additionalProperties"] is False for t in tools.values())


def test_every_argument_is_described(tools: dict[str, Any]) -> None:
    for name, tool in tools.items():
        for argument, schema in tool["input_schema"].get("properties", {}).items():
            assert schema.get("description", "").endswith("."), f"{name}.{argument}"


def test_every_description_says_when_to_use_the_tool_and_what_comes_next(
    tools: dict[str, Any],
) -> None:
    for name, tool in tools.items():
        words = tool["description"]
        assert 150 <= len(words) <= 900, (name, len(words))
        assert "Next:" in words, name
        if tool["input_schema"].get("properties"):
            assert f"{name}(" in words, f"{name} shows no example"
        assert re.search(r"\b(use|call|ask|go)\b", words, re.I), f"{name} does not say when"
        assert not AVOIDED.search(words), (name, AVOIDED.findall(words))


def test_descriptions_name_only_tools_and_arguments_that_exist(tools: dict[str, Any]) -> None:
    for name, tool in tools.items():
        for called, inside in re.findall(r"\b([a-z]+_[a-z_]+)\(([^)]*)\)", tool["description"]):
            assert called in tools, f"{name} mentions {called}"
            for argument in re.findall(r"\b([a-z_]+)=", inside):
                assert argument in tools[called]["input_schema"]["properties"], (name, argument)


SAME_RESULT = {"get_evaluation": "evaluate_kernel"}
"""Tools whose result another one has, too: what may be left out of it is listed once."""


def fields_of(schema: Any) -> set[str]:
    """Every property of a schema, at any depth."""
    if isinstance(schema, list):
        return set().union(*(fields_of(part) for part in schema))
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", {}))
    return own.union(*(fields_of(part) for part in schema.values()))


def test_every_term_in_a_description_is_a_field_an_argument_or_a_tool(
    tools: dict[str, Any], written: dict[str, Any]
) -> None:
    known = set(tools) | fields_of(list(written["results"].values()))
    for tool in tools.values():
        known |= fields_of(tool["input_schema"])
    for name, tool in tools.items():
        arguments = tool["input_schema"].get("properties", {}).values()
        words = [tool["description"], *(argument["description"] for argument in arguments)]
        terms = re.findall(r"`([^`]+)`", " ".join(words))
        unknown = [t for t in terms if t != "…_uri" and t not in known]
        assert unknown == [], name


def test_the_list_tells_every_field_that_a_result_itself_has(written: dict[str, Any]) -> None:
    """A client checks results by the list: the kind of each field."""
    for name, whole in written["results"].items():
        listed = written["tools"][name]["output_schema"]
        assert "summary" in whole["required"], name
        assert fields_of(listed) == set(listed["properties"]), name
        if other := SAME_RESULT.get(name):
            assert whole == written["results"][other]
            assert list(listed["properties"]) == whole["required"]
            assert f"as {other}" in written["tools"][name]["description"]
        else:
            assert list(listed["properties"]) == list(whole["properties"]), name


def test_the_tools_fit_a_clients_window(tools: dict[str, Any]) -> None:
    """The list is read at the start of every conversation; a token is about four characters."""
    compact = json.dumps(list(tools.items()), separators=(",", ":"))
    assert len(compact) < 4 * 9_000
