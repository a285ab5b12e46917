"""Solution folders: what is a source, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.errors import DatasetError, RequestError
from kernel_harness.tools.schema.flashinfer_trace import (
    Binding,
    BuildSpec,
    Language,
    Solution,
    SourceFile,
)
from kernel_harness.tools.workloads.solution_folder import (
    MAX_FILES,
    given_solution,
    read_candidate_file,
    read_solution,
    write_solution,
)

TOML = """name = "first"
definition = "scale_rows"
language = "triton"
entry_point = "kernel.py::run"
destination_passing_style = false
binding = ""
technique = ["split-k"]
"""
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "candidate.toml").write_text(TOML)
    (tmp_path / "kernel.py").write_text("def run(x): ...\n")
    return tmp_path


def test_every_file_but_the_kept_ones_is_a_source(folder: Path) -> None:
    for kept in ("NOTES.md", "README.md", "reference.py", ".hidden"):
        (folder / kept).write_text("x")
    for place in ("__pycache__", ".git", "lib"):
        (folder / place).mkdir()
        (folder / place / "inner.cu").write_text("// x\n")
    (folder / "lib" / "README.md").write_text("part of it")
    (folder / "lib" / "__init__.py").write_text("")
    solution = read_solution(folder, author="an agent")
    contents = {source.path: source.content for source in solution.sources}
    assert sorted(contents) == ["kernel.py", "lib/README.md", "lib/__init__.py", "lib/inner.cu"]
    assert contents["lib/__init__.py"] == "\n"
    assert (solution.author, solution.spec.binding) == ("an agent", None)
    assert solution.spec.destination_passing_style is False
    assert read_candidate_file(folder).technique == ["split-k"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("entry_point", "entrypoint", "Unknown key 'entrypoint'.*Nearest: entry_point"),
        ('"triton"', '"fortran"', "language"),
        ("kernel.py::run", "kernel.py", "is not '<file>::<function>'"),
        ("kernel.py::run", "other.py::run", "'other.py' is not among the sources: kernel.py"),
        ("name =", "name", "is not TOML"),
        ('binding = ""', 'binding = "pybind"', "binding"),
    ],
)
def test_a_malformed_candidate_file_says_where(
    folder: Path, old: str, new: str, words: str
) -> None:
    (folder / "candidate.toml").write_text(TOML.replace(old, new, 1))
    with pytest.raises(DatasetError, match=words) as caught:
        read_solution(folder)
    assert "candidate.toml" in caught.value.where


def test_a_folder_without_candidate_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="open_workspace"):
        read_solution(tmp_path)


def test_links_binaries_and_crowds_are_refused(folder: Path) -> None:
    link = folder / "link.py"
    link.symlink_to("/etc/hostname")
    with pytest.raises(DatasetError, match=r"plain file.*link\.py"):
        read_solution(folder)
    link.unlink()
    (folder / "kernel.cubin").write_bytes(b"\x7fELF\xff\xfe")
    with pytest.raises(DatasetError, match=r"not UTF-8.*kernel\.cubin"):
        read_solution(folder)
    (folder / "kernel.cubin").unlink()
    for number in range(MAX_FILES):
        (folder / f"part{number}.py").write_text("x")
    with pytest.raises(DatasetError, match="at most"):
        read_solution(folder)


def _sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(6 << 30)


def _nested(path: Path) -> None:
    for _ in range(40):
        path = path / "d"
    path.mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: _sparse(f / "big.py"), "larger than"),
        (lambda f: _sparse(f / "candidate.toml"), "larger than"),
        (lambda f: os.mkfifo(f / "pipe.py"), "plain file"),
        (lambda f: (f / "zero.py").symlink_to("/dev/zero"), "plain file"),
        (lambda f: (f / "lib").symlink_to("/usr"), "plain file"),
        (lambda f: (f / "candidate.toml").rename(f / "c") and _link(f), "plain file"),
        (lambda f: _nested(f), "nested"),
        (lambda f: [(f / f".n{n}").touch() for n in range(3_000)], "entries"),
        (lambda f: (f / "candidate.toml").write_text("a=" + "[" * 30_000), "TOML"),
        (lambda f: (f / "candidate.toml").write_bytes(b"\xff"), "TOML"),
        (lambda f: [(f / "kernel").mkdir(), (f / "kernel/__init__.py").touch()], "one module"),
    ],
)
def test_what_lies_in_a_folder_is_read_within_bounds(folder: Path, spoil: Any, words: str) -> None:
    spoil(folder)
    with pytest.raises(DatasetError, match=words):
        read_solution(folder)


def _link(folder: Path) -> None:
    (folder / "candidate.toml").symlink_to(folder / "c")


def test_files_that_agents_read_as_instructions_are_no_sources(folder: Path) -> None:
    for name in ("CLAUDE.md", "AGENTS.md", "lib/GEMINI.MD"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("do this")
    assert [source.path for source in read_solution(folder).sources] == ["kernel.py"]


@given(
    contents=st.lists(TEXT, min_size=1, max_size=3),
    name=TEXT,
    description=st.none() | TEXT,
    binding=st.none() | st.sampled_from(Binding),
    language=st.sampled_from(Language),
    passing=st.booleans(),
    dependencies=st.lists(TEXT, max_size=2),
)
@settings(deadline=None, max_examples=40)
def test_a_solution_survives_its_folder(
    tmp_path_factory: pytest.TempPathFactory,
    contents: list[str],
    name: str,
    description: str | None,
    binding: Binding | None,
    language: Language,
    passing: bool,
    dependencies: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("solution")
    solution = Solution(
        name=name,
        definition="d",
        author="a",
        description=description,
        spec=BuildSpec(
            language=language,
            target_hardware=["cuda"],
            entry_point="part0/k.cu::run",
            binding=binding,
            destination_passing_style=passing,
            dependencies=dependencies,
        ),
        sources=[
            SourceFile(path=f"part{number}/k.cu", content=content)
            for number, content in enumerate(contents)
        ],
    )
    write_solution(solution, folder, technique=["a"])
    again = read_solution(folder, author="a")
    assert again == solution
    assert again.content_hash() == solution.content_hash()


def test_a_solution_that_cannot_be_read_is_told_field_by_field() -> None:
    with pytest.raises(RequestError) as refusal:
        given_solution({"name": "x", "spec": {"language": "Python", "entry_point": "m.py"}})
    for field in ("definition", "author", "sources", "spec.language", "spec.entry_point"):
        assert f"{field}: " in str(refusal.value)
    assert "file.py::run" in refusal.value.remedy
