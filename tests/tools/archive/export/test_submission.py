"""Packing a submission: its files, and what the contest's script would lose."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from kernel_harness.tools.archive.export.submission import pack_submission
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.flashinfer_trace import Solution


def solution(definition: str = "scale_n64", sources: Any = None, **spec: Any) -> Solution:
    files = sources or {
        "kernel.py": "from helper import f\n\ndef run(x, y): f(x, y)\n",
        "helper.py": "f = 1",
    }
    return Solution.model_validate(
        {
            "name": "fast",
            "definition": definition,
            "author": "search",
            "spec": {
                "language": "triton",
                "target_hardware": ["H200"],
                "entry_point": "kernel.py::run",
            }
            | spec,
            "sources": [{"path": p, "content": text} for p, text in files.items()],
        }
    )


def test_one_solution_fills_the_folder_itself(tmp_path) -> None:
    mine = solution()
    (packed,) = pack_submission([mine], tmp_path / "out", name="submission", author="team")
    config = tomllib.loads((packed.folder / "config.toml").read_text("utf-8"))
    assert config["solution"] == {"name": "submission", "definition": "scale_n64", "author": "team"}
    assert config["build"]["language"] == "triton"
    assert config["build"]["entry_point"] == "kernel.py::run"
    sources = packed.folder / "solution" / "triton"
    assert {p.name: p.read_text("utf-8") for p in sources.iterdir()} == {
        source.path: source.content for source in mine.sources
    }
    read = Solution.model_validate_json((packed.folder / "solution.json").read_bytes())
    assert read == packed.solution
    assert read.spec.target_hardware == ["cuda"]


def test_several_have_a_folder_each(tmp_path) -> None:
    packed = pack_submission([solution("a/b"), solution("c")], tmp_path / "out", author="team")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a-b", "c"]
    assert all((p.folder / "config.toml").is_file() for p in packed)


def test_definitions_that_would_share_a_folder_have_their_own(tmp_path) -> None:
    packed = pack_submission([solution("a/b"), solution("a b")], tmp_path / "out")
    assert len({p.folder for p in packed}) == 2
    for p in packed:
        read = Solution.model_validate_json((p.folder / "solution.json").read_bytes())
        assert read.definition == p.solution.definition and p.folder.parent == tmp_path / "out"


def test_two_of_one_definition_are_refused(tmp_path) -> None:
    with pytest.raises(RequestError, match="Two solutions are of scale_n64"):
        pack_submission([solution(), solution()], tmp_path / "out")


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        (solution(destination_passing_style=False), "it returns its outputs"),
        (solution(language="tilelang"), "not tilelang"),
        (solution(sources={"kernel.py": "x", "lib/a.py": "x"}), "lib/a.py lies in a folder"),
        (solution(sources={"kernel.py": "x", "a.inl": "x"}), "a.inl would be left out"),
    ],
)
def test_what_would_be_packed_into_another_program_is_refused(tmp_path, mine, words) -> None:
    with pytest.raises(RequestError, match=words):
        pack_submission([mine], tmp_path / "out")
    assert not (tmp_path / "out").exists()
