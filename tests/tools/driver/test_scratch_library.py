"""The allocator is compiled once for each source, and says so when it cannot be."""

import shutil

import pytest

from kernel_harness.tools.driver import scratch_library
from kernel_harness.tools.driver.scratch_library import build_library
from kernel_harness.tools.errors import CapabilityError


def test_without_a_compiler_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch_library.shutil, "which", lambda _: None)
    with pytest.raises(CapabilityError, match="No C compiler"):
        build_library(tmp_path)


def test_what_the_compiler_says_is_told(tmp_path, monkeypatch):
    if not any(map(shutil.which, scratch_library.COMPILERS)):
        pytest.skip("needs a C compiler")
    source = tmp_path / "scratch.c"
    source.write_text("int broken(")
    monkeypatch.setattr(scratch_library, "SOURCE", source)
    with pytest.raises(CapabilityError, match="does not compile: .*error"):
        build_library(tmp_path / "made")


def test_another_source_is_another_library(tmp_path, monkeypatch):
    if not any(map(shutil.which, scratch_library.COMPILERS)):
        pytest.skip("needs a C compiler")
    source = tmp_path / "scratch.c"
    monkeypatch.setattr(scratch_library, "SOURCE", source)
    source.write_text("int answer(void) { return 1; }")
    first = build_library(tmp_path)
    assert build_library(tmp_path) == first
    source.write_text("int answer(void) { return 2; }")
    assert build_library(tmp_path) != first
