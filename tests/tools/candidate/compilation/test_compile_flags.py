"""Headers that torch's build for the CPU lacks are laid beside it, and only those."""

from __future__ import annotations

from kernel_harness.tools.candidate.compilation import compile_flags as configs
from kernel_harness.tools.candidate.compilation.sources import Folders


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
