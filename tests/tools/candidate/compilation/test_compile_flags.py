"""Headers that torch's build for the CPU lacks are laid beside it, and only those."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from kernel_harness.tools.candidate.compilation import compile_flags as configs
from kernel_harness.tools.candidate.compilation.sources import Folders
from kernel_harness.tools.candidate.faults import CandidateError


def test_the_header_that_only_a_cuda_build_of_torch_has_is_made_where_it_is_missing(tmp_path):
    folders = Folders(tmp_path)
    (folder,) = configs._missing_headers(tmp_path / "include", folders)
    header = tmp_path / "build" / "missing" / "c10" / "cuda" / "impl" / "cuda_cmake_macros.h"
    assert str(header).startswith(folder) and header.read_text().startswith("#pragma once")


def test_torch_s_own_header_is_used_where_it_is(tmp_path):
    own = tmp_path / "include" / "c10" / "cuda" / "impl"
    own.mkdir(parents=True)
    (own / "cuda_cmake_macros.h").write_text("")
    assert configs._missing_headers(tmp_path / "include", Folders(tmp_path)) == ()


@pytest.fixture
def config() -> configs.CompileConfig:
    """Flags with slower ones to try after them."""
    plain = configs.CompileConfig(include=("a",), define=(), standard="c++17", libraries=())
    return configs.CompileConfig(
        include=("b",), define=(), standard="c++17", libraries=(), nvcc=("-x",), retry=plain
    )


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Builds a package that brings CUTLASS's headers, and leaves no other on the path."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])

    def make(package: str, inside: str) -> Path:
        tree = tmp_path / package / inside
        (tree / "include" / "cute").mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("raise AssertionError('imported')\n")
        importlib.invalidate_caches()
        return tree

    return make


@pytest.mark.parametrize(
    ("package", "inside"), [("cutlass_library", "source"), ("flashinfer", "data/cutlass")]
)
@pytest.mark.parametrize("named", ["nvidia-cutlass", "Nvidia_Cutlass>=4.2", "cutlass"])
def test_headers_of_a_package_that_a_candidate_names_are_added(
    config, installed, package, inside, named
):
    tree = installed(package, inside)
    found = configs.with_packages(config, ["numpy", named])
    added = (str(tree / "include"), str(tree / "tools/util/include"))
    assert found.include == ("b", *added) and found.nvcc == ("-x", "--expt-relaxed-constexpr")
    assert found.retry is not None and found.retry.include == ("a", *added)
    assert found.versions != config.versions, "another key in the cache"


def test_headers_that_nobody_names_are_not_added(config, installed):
    installed("cutlass_library", "source")
    assert configs.with_packages(config, ["numpy", "nvidia-cutlass-dsl", ""]) is config


def test_a_named_package_that_is_not_there_is_the_machines_lack(config, installed):
    with pytest.raises(CandidateError, match="pip install nvidia-cutlass") as raised:
        configs.with_packages(config, ["nvidia-cutlass"])
    assert raised.value.fault.kind == "toolchain"
