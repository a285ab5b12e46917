"""Splicing JSON: what is asked for changes, every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.server.client_setup import json_edit as json_text
from kernel_harness.tools.errors import RequestError

PATH = ("mcpServers", "kernel-harness")
VALUE = {"command": "x", "args": ["serve"]}
keys = st.text(max_size=6).filter(lambda key: key not in PATH)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=4), st.sampled_from([None, 1, 2, 4, "\t"]))
def test_setting_and_removing_gives_the_same_bytes_back(
    others: dict[str, Any], indent: int | str | None
) -> None:
    before = json.dumps({**others, "mcpServers": {"other": {"command": "y"}}}, indent=indent)
    after = json_text.set_member(before, PATH, VALUE)
    assert json.loads(after)["mcpServers"]["kernel-harness"] == VALUE
    assert json_text.remove_member(after, PATH) == before


@given(st.dictionaries(keys, values, max_size=4))
def test_missing_objects_on_the_way_are_made(others: dict[str, Any]) -> None:
    after = json.loads(json_text.set_member(json.dumps(others), PATH, VALUE))
    assert after == {**others, "mcpServers": {"kernel-harness": VALUE}}


def test_a_second_value_replaces_the_first_and_nothing_else() -> None:
    before = '{ "mcpServers": {"kernel-harness": 1,  "z":2 } , "a" : [1,2]}\n'
    assert json_text.set_member(before, PATH, 5) == before.replace(": 1,", ": 5,")


def test_the_first_of_several_members_can_be_removed() -> None:
    before = '{"mcpServers": {"kernel-harness": 1, "z": 2}}'
    assert json_text.remove_member(before, PATH) == '{"mcpServers": {"z": 2}}'


def test_removing_what_is_not_there_changes_nothing() -> None:
    assert json_text.remove_member('{"a":1}', PATH) == '{"a":1}'


def test_empty_text_becomes_an_object() -> None:
    assert json.loads(json_text.set_member("", PATH, 1)) == {"mcpServers": {"kernel-harness": 1}}


@pytest.mark.parametrize("text", ["[1]", "{,}", '{"mcpServers": 3}', "// words\n{}"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="nothing was changed"):
        json_text.set_member(text, PATH, 1)
