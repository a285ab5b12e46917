"""A solution as a file and as a folder, from the one to the other without loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel_harness.tools.datasets.solution_files import (
    extract_solution,
    pack_solution,
    read_solution_file,
)
from kernel_harness.tools.errors import DatasetError, RequestError
from kernel_harness.tools.schema.flashinfer_trace import Solution

from .folders import solution

SOURCES = [
    {"path": "main.py", "content": "from .parts.scale import double\nrun = double\n"},
    {"path": "parts/scale.py", "content": "def double(x, y):\n    y.copy_(x * 2)\n"},
    {"path": "reference.py", "content": "# a source of a name that is kept for others\n"},
]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "given.json"
    path.write_text(json.dumps({**solution("mine", "ann", dependencies=["x"]), "sources": SOURCES}))
    return path


def test_a_folder_packs_into_the_solution_that_it_was_extracted_from(given, tmp_path) -> None:
    before = read_solution_file(given)
    folder = extract_solution(before, tmp_path / "folder")
    assert (folder / "parts/scale.py").read_text() == SOURCES[1]["content"]
    after = pack_solution(folder, tmp_path / "again.json", author="ann")
    assert after.content_hash() == before.content_hash()
    assert (after.name, after.author, after.spec) == (before.name, before.author, before.spec)
    assert read_solution_file(tmp_path / "again.json") == after


def test_what_is_there_is_not_written_over(given, tmp_path) -> None:
    found = read_solution_file(given)
    with pytest.raises(RequestError, match="exists"):
        pack_solution(found, given)
    extract_solution(found, tmp_path / "folder")
    with pytest.raises(RequestError, match="in use"):
        extract_solution(found, tmp_path / "folder")


def test_what_is_no_solution_is_refused_with_words(tmp_path) -> None:
    (tmp_path / "cut.json").write_text("{")
    (tmp_path / "other.json").write_text("{}")
    for name, words in (("cut", "cannot be read"), ("other", "sources"), ("none", "No such file")):
        with pytest.raises(RequestError, match=words):
            read_solution_file(tmp_path / f"{name}.json")
    with pytest.raises(DatasetError, match=r"candidate\.toml"):
        pack_solution(tmp_path, tmp_path / "packed.json")


def test_a_new_name_and_author_are_the_files(given, tmp_path) -> None:
    pack_solution(read_solution_file(given), tmp_path / "n.json", name="team-1", author="team")
    packed = Solution.model_validate_json((tmp_path / "n.json").read_bytes())
    assert (packed.name, packed.author) == ("team-1", "team")
