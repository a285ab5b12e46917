"""Which paths sources may have: what is let in can be written, read back, and run as declared."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.schema.source_tree import MAX_FILES, path_fault, tree_faults
from tests.folding import for_each

PARTS = st.one_of(
    st.sampled_from(
        ["a", "kernel", "kernel.py", "__init__.py", ".", "..", "", "~", "-x", "CLAUDE.md", ".git"]
    ),
    st.text(max_size=6),
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    "path",
    ["kernel.py", "v1.0/k.py", "kernel.v2.py", "a/b/c/tile.cuh", "größe.py", "README.md", "a b.py"],
)
def test_sources_as_people_name_them_are_let_in(path: str) -> None:
    assert path_fault(path) is None


@for_each(
    "path",
    [
        "",
        "/k.py",
        "../k.py",
        "a/../k.py",
        "./k.py",
        "a//k.py",
        "a/",
        "a\\k.py",
        "k$(touch x).cu",
        "`id`/k.cu",
        'k";id;".cu',
        "k\n.py",
        "k\x00.py",
        "k\u202e.py",
        "\ud800.py",
        ".mcp.json",
        ".claude/settings.json",
        ".envrc",
        ".git/config",
        "CLAUDE.md",
        "candidate.toml",
        "docs/agents.MD",
        ".cursor/rules/x.mdc",
        "__pycache__/k.py",
        "d/" * 3_000 + "k.py",
        "x" * 300 + ".py",
    ],
)
def test_no_other_path_is(path: str) -> None:
    fault = path_fault(path)
    assert fault is not None and len(fault) < 800 and fault.isprintable()


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["k.py", "k.py"], "repeated"),
        (["util", "util/x.py"], "a file and a folder"),
        (["kernel.py", "kernel/__init__.py"], "one module"),
        (["kernel.py", "kernel.so"], "one module"),
        (["a/k.py", "a/k.cpython-312-x86_64-linux-gnu.so"], "one module"),
        (["k/__init__.py", "k/__init__.pyc"], "one module"),
        (["kernel.v2.py", "kernel_v2.py"], "one module"),
        (["v1.0/k.py", "v1_0/k.py"], "one module"),
        (["fix.py", "\ufb01x.py"], "one module"),
        ([f"k{n}.py" for n in range(MAX_FILES + 1)], "at most"),
    ],
)
def test_sources_that_hide_or_repeat_one_another_are_refused(paths: list[str], words: str) -> None:
    assert words in tree_faults(paths)[0]


@pytest.mark.parametrize(
    "paths",
    [
        ["kernel.py", "kernel/impl.cu"],
        ["kernel.py", "kernel.v2.py", "v1.0/kernel.py", "sub/candidate.toml"],
        ["kernel.py", "kernel.cu", "kernel.cuh"],
        ["a/__init__.py", "b/__init__.py", "a/k.py"],
    ],
)
def test_sources_that_only_look_alike_are_let_in(paths: list[str]) -> None:
    assert tree_faults(paths) == []


@given(st.lists(PATHS, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_what_is_let_in_lies_where_it_says_and_nowhere_else(paths: list[str]) -> None:
    if tree_faults(paths):
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tree"
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(path)
        found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert found == set(paths)
        assert list(Path(name).iterdir()) == [folder]
        assert not any(part.startswith(".") for path in paths for part in path.split("/"))
