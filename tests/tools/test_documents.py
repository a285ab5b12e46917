"""Long texts, slice by slice, by the addresses that results name."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools import documents as documents_module
from kernel_harness.tools.documents import Documents, definition_uri, profile_uri
from kernel_harness.tools.errors import HarnessError, RequestError
from kernel_harness.tools.workloads.dataset import Dataset

from .workloads.test_listing import operator

NOTHING: Any = None
ADDRESS = definition_uri("double")


def reports(profiles: Path = Path("/nonexistent")) -> Documents:
    return Documents(Dataset({"double": operator(5)}, ()), NOTHING, NOTHING, profiles)


@given(st.integers(1, 500))
def test_slices_together_are_the_whole_text(limit):
    documents, text = reports(), ""
    offset: int | None = 0
    with patch.object(documents_module, "SLICE_CHARACTERS", limit):
        while offset is not None:
            part = documents.read(ADDRESS, None, offset)
            assert len(part.text) <= limit
            text += part.text
            offset = part.next_offset
    whole = documents.read(ADDRESS, None, 0)
    assert text == whole.text and len(text) == whole.total_characters


def test_a_section_is_read_alone_and_all_sections_are_named():
    part = reports().read(ADDRESS, "reference", 0)
    assert part.text == "def run(x):\n    return x * 2\n"
    assert part.sections == ["definition", "reference", "policy", "workloads"]


def test_an_unknown_section_names_the_nearest():
    with pytest.raises(HarnessError, match="section") as caught:
        reports().read(ADDRESS, "references", 0)
    assert "reference" in str(caught.value)


@pytest.mark.parametrize("offset", [-1, 1 << 30])
def test_an_offset_outside_the_text_says_where_to_start(offset):
    with pytest.raises(RequestError, match="outside") as caught:
        reports().read(ADDRESS, None, offset)
    assert "next_offset" in caught.value.remedy


@pytest.mark.parametrize("address", ["definitions/double", "definition/double", f" {ADDRESS}/ "])
def test_an_address_is_understood_as_agents_write_it(address):
    assert reports().read(address, "reference", 0).text.startswith("def run")


@pytest.mark.parametrize("address", ["", "double", "file:///etc/passwd", "definition/"])
def test_what_is_no_address_is_refused_with_an_example(address):
    with pytest.raises(RequestError, match="no report's address") as caught:
        reports().read(address, None, 0)
    assert "evaluation/<id>" in caught.value.remedy


def test_a_profile_is_read_file_by_file_and_binary_files_are_left_out(tmp_path):
    folder = tmp_path / "profiles" / "p-1"
    folder.mkdir(parents=True)
    (folder / "summary.txt").write_text("tail bound")
    (folder / "raw.ncu-rep").write_bytes(b"\0\1\2")
    part = reports(tmp_path / "profiles").read(profile_uri("p-1"), None, 0)
    assert part.sections == ["summary.txt"] and part.text == "tail bound"


@pytest.mark.parametrize("key", ["../secret.txt", "p-1/../../secret.txt", "/etc/passwd", "p-2"])
def test_nothing_outside_the_profiles_is_read(tmp_path, key):
    (tmp_path / "profiles" / "p-1").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("a secret")
    with pytest.raises(HarnessError, match="profile"):
        reports(tmp_path / "profiles").read(profile_uri(key), None, 0)
