"""An argument that is not of its tool's form is refused with the place, what is there, the form."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import anyio
import pytest
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field, ValidationError, create_model

from kernel_harness.server.mcp_tools.registry import ENTRIES
from kernel_harness.server.requests.refusals import validation_message

from ..calls import refused


class Box(BaseModel):
    """A record in an argument."""

    width: int
    kind: Literal["round", "square"] = "round"


pytestmark = pytest.mark.anyio
FIELDS: dict[str, Any] = {
    "grids": Annotated[
        dict[str, dict[str, Any]] | None,
        Field(description="Named grids, {'tile': {'BLOCK': [8]}}; none if absent. More words."),
    ],
    "picked": list[str | dict[str, int]],
    "boxes": list[Box],
    "limit": Annotated[int, Field(le=200)],
}


def said(**arguments: Any) -> str:
    """The refusal of a tool that has only these arguments, one of `FIELDS` each."""
    fields: dict[str, Any] = {name: (FIELDS[name], ...) for name in arguments}
    model = create_model("Asked", **fields)
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(arguments)
    return validation_message("tool", model.model_json_schema(), arguments, refusal.value)


def test_a_value_in_a_table_is_named_by_its_keys_and_the_form_is_told():
    assert said(grids={"BLOCK": [1, 2]}) == (
        "tool: argument 'grids' cannot hold [1, 2] at ['BLOCK']: it should be a valid dictionary, "
        "its form is {name: {name: anything, …}, …} (Named grids, {'tile': {'BLOCK': [8]}})."
    )


def test_of_a_value_that_may_be_of_two_kinds_both_are_told_at_one_place():
    words = said(picked=["a", 5, {"batch": "many"}])
    assert "cannot hold 5 at [1]: it should be a valid string or it should be a valid" in words
    assert "cannot hold \"many\" at [2]['batch']: it should be a valid integer" in words
    assert "its form is [text or {name: a whole number, …}, …]" in words


def test_what_a_record_lacks_is_named_and_so_is_a_word_that_it_does_not_know():
    words = said(boxes=[{"kind": "flat"}])
    assert "argument 'boxes' lacks 'width' at [0]" in words
    assert "cannot hold \"flat\" at [0]['kind']: it should be 'round' or 'square'" in words
    assert "its form is [{'width': a whole number, 'kind': \"round\" or \"square\"}, …]" in words


def test_a_whole_argument_of_another_kind_is_told_its_form_and_a_plain_one_its_bound():
    assert "argument 'picked' cannot be 5: it should be a valid list, its form is [text" in said(
        picked=5
    )
    assert said(limit=1000) == (
        "tool: argument 'limit' cannot be 1000: it should be less than or equal to 200."
    )


def test_json_in_a_text_that_cannot_be_read_is_told_the_place():
    words = said(grids='{"tile": {"BLOCK": [8,')
    assert "be a valid dictionary (as JSON this text is wrong at character 22: " in words
    assert "as JSON" not in said(grids="tile") and "as JSON" not in said(grids='["tile"]')


def test_of_many_places_some_are_named_and_the_others_counted():
    words = said(grids={f"C{n}": n for n in range(9)})
    assert "at ['C2']" in words and "at ['C3']" not in words
    assert "6 more places are not of the form" in words


def test_what_is_there_is_cut():
    assert len(said(grids={"C" * 20: "x" * 10_000})) < 500


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        (
            "evaluate_variants",
            {"workspace": "mine", "variants": {"BLOCK": [1, 2]}},
            ("'variants' cannot hold [1, 2] at ['BLOCK']", "{'tile': {'BLOCK': [8, 16]}}"),
        ),
        (
            "evaluate_kernel",
            {"workspace": "mine", "workloads": [{"batch_size": "big"}]},
            ("at [0]['batch_size']", "[text or {name: a whole number, …}, …]"),
        ),
        (
            "inspect_call",
            {"workspace": "mine", "axes": {"batch_size": [1]}},
            ("cannot hold [1] at ['batch_size']", "{name: a whole number, …}"),
        ),
        (
            "record_plan",
            {"workspace": "mine", "made_by": {"model": {"name": "x"}}},
            ("at ['model']", "{name: text, …}"),
        ),
        (
            "measure_device",
            {"what": ["copy", "everything"]},
            ('cannot hold "everything" at [1]', "'copy', 'launch'"),
        ),
        ("archive_candidate", {"tags": ["a", 3]}, ("cannot hold 3 at [1]", "[text, …]")),
    ],
)
async def test_every_tool_names_the_place_in_an_argument(
    connect: Any, tool: str, arguments: dict[str, Any], words: tuple[str, ...]
) -> None:
    async with connect() as client:
        told = await refused(client, tool, **arguments)
    for word in words:
        assert word in told


def malformed() -> list[tuple[str, str, Any]]:
    """For every list and table of every tool whose members have a form, one that has not."""
    server = MCPServer("any")
    for entry in ENTRIES.values():
        server.add_tool(**entry.registration())
    found: list[tuple[str, str, Any]] = []
    for tool in anyio.run(server.list_tools):
        for name, schema in tool.input_schema["properties"].items():
            for plain in schema.get("anyOf", [schema]):
                if "items" in plain:
                    found.append((tool.name, name, [["nested"]]))
                elif isinstance(plain.get("additionalProperties"), dict):
                    found.append((tool.name, name, {"a": ["nested"]}))
    return found


@pytest.mark.parametrize(("tool", "name", "value"), malformed())
async def test_every_list_and_table_of_every_tool_names_the_place_and_its_form(
    connect: Any, tool: str, name: str, value: Any
) -> None:
    async with connect() as client:
        told = await refused(client, tool, **{name: value})
    place = "[0]" if isinstance(value, list) else "['a']"
    assert f"argument '{name}' cannot hold [\"nested\"] at {place}: it should be" in told
    assert "its form is" in told or "should be '" in told
