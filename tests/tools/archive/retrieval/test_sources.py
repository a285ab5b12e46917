"""Code of others is found by its words, with file and line, and read again when it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernel_harness.tools.archive.retrieval.sources import (
    PIECE_LINES,
    files_of,
    installed,
    pieces,
    search_sources,
)

KERNEL = "import triton\n\n\n@triton.jit\ndef chunk_scaled_dot(x):\n    acc = wait_for_barrier(x)\n"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "peer"
    (root / "ops").mkdir(parents=True)
    (root / "ops" / "chunk.py").write_text("\n" * 40 + KERNEL)
    (root / "ops" / "other.cu").write_text("__global__ void copy() {}\n")
    for left_out in ("tests/test_chunk.py", ".git/chunk.py", "notes.txt"):
        file = root / left_out
        file.parent.mkdir(exist_ok=True)
        file.write_text(KERNEL)
    return root


def search(package: Path, query: str):
    return search_sources(package.parent / "cache" / "index.sqlite", {"peer": package}, query, 5)


def test_a_passage_has_its_file_and_the_line_of_the_words(package):
    (found,) = search(package, "wait barrier")
    assert found.path == str(package / "ops" / "chunk.py")
    lines = Path(found.path).read_text().splitlines()
    assert lines[found.line - 1 : found.line + 5] == found.excerpt.splitlines()
    assert "wait_for_barrier" in found.excerpt


def test_what_is_no_code_or_only_tests_it_is_left_out(package):
    assert [p.name for p in files_of(package)] == ["chunk.py", "other.cu"]


def test_a_file_that_changed_or_went_is_read_again(package):
    assert len(search(package, "chunk_scaled_dot")) == 1
    file = package / "ops" / "other.cu"
    file.write_text("__global__ void chunk_scaled_dot_two() {}\n")
    os.utime(file, ns=(1, 1))
    assert len(search(package, "scaled dot")) == 2
    (package / "ops" / "chunk.py").unlink()
    assert [Path(found.path).name for found in search(package, "scaled dot")] == ["other.cu"]


def test_a_folder_that_is_not_asked_for_is_not_searched(package):
    other = package.parent / "mine"
    other.mkdir()
    (other / "own.py").write_text("def scaled_dot(): pass\n")
    database = package.parent / "index.sqlite"
    assert len(search_sources(database, {"a": package, "b": other}, "scaled", 5)) == 2
    (found,) = search_sources(database, {"b": other}, "scaled", 5)
    assert found.path == str(other / "own.py")
    assert search_sources(database, {"b": other}, "  ", 5) == []


def test_pieces_cover_a_text_once_and_begin_at_definitions():
    text = "\n".join(f"x{n} = {n}" if n % 20 else "def f():" for n in range(1, 101))
    found = list(pieces(text))
    assert "\n".join(body for _, body in found) == text
    assert all(len(body.splitlines()) <= PIECE_LINES for _, body in found)
    assert [line for line, _ in found][1] == 20


def test_packages_are_found_without_being_imported():
    assert set(installed(["json", "no_such_package_at_all"])) == {"json"}
