"""On a command line paths are those of the current folder, and a Solution may lie in a file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernel_harness.server.cli.local_arguments import meant_here
from kernel_harness.tools.errors import DatasetError, RequestError

TEXT = json.dumps({"name": "s", "sources": [{"path": "k.py", "content": "#" * 300_000}]})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "workspaces" / "first").mkdir(parents=True)
    (tmp_path / "s.json").write_text(TEXT)
    (tmp_path / "bom.json").write_text("\ufeff" + TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "named", "meant"),
    [
        (".", "workspaces/first", "workspaces/first"),
        (".", "./workspaces/first/", "workspaces/first"),
        ("workspaces/first", ".", "workspaces/first"),
        ("workspaces", "../workspaces/first", "workspaces/../workspaces/first"),
    ],
)
def test_a_relative_path_is_of_the_current_folder(here, monkeypatch, folder, named, meant):
    monkeypatch.chdir(here / folder)
    assert meant_here({"workspace": named}) == {"workspace": str(here / meant)}


@pytest.mark.parametrize("named", ["first", "elsewhere/first", "/data/first", ""])
def test_a_name_and_what_is_not_here_stay_as_they_are(here, named):
    assert meant_here({"workspace": named, "scope": "smoke"})["workspace"] == named


@pytest.mark.parametrize("named", ["@s.json", "s.json", "@bom.json", "-"])
def test_a_solution_is_read_from_a_file_or_from_standard_input(here, monkeypatch, named):
    stdin = SimpleNamespace(buffer=io.BytesIO(TEXT.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert meant_here({"solution": named}) == {"solution": TEXT}


@pytest.mark.parametrize("named", ["mine", "@./mine/"])
def test_a_solution_is_read_from_a_folder(here, named):
    (here / "mine").mkdir()
    (here / "mine" / "candidate.toml").write_text(
        'name = "s"\ndefinition = "d"\nlanguage = "python"\nentry_point = "k.py::run"\n'
        'target_hardware = ["cpu"]\n'
    )
    (here / "mine" / "k.py").write_text("def run(): ...\n")
    read = json.loads(meant_here({"solution": named})["solution"])
    assert read["name"] == "s" and read["sources"][0]["content"] == "def run(): ...\n"


def test_a_folder_without_a_candidate_is_refused_in_words(here):
    with pytest.raises(DatasetError, match=r"candidate\.toml"):
        meant_here({"solution": "workspaces"})


def test_a_solution_that_is_written_out_is_taken_as_it_is(here):
    assert meant_here({"solution": ' {"name": "s"}'}) == {"solution": ' {"name": "s"}'}


@pytest.mark.parametrize("named", ["@none.json", "none", "@/dev/zero", "a\0b", ""])
def test_a_file_that_cannot_be_read_is_refused_in_words(here, named):
    with pytest.raises(RequestError, match=r"cannot be read: .*Give a FlashInfer-Trace"):
        meant_here({"solution": named})


def test_a_file_without_end_is_refused(here, monkeypatch):
    monkeypatch.setattr("kernel_harness.server.cli.local_arguments.MOST_BYTES", 10)
    with pytest.raises(RequestError, match="more than 10 bytes"):
        meant_here({"solution": "@s.json"})
