"""CUDA that Python hands to a compiler is remembered where nothing runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils import cpp_extension

from kernel_harness.tools.candidate.compile_only import inline_sources
from kernel_harness.tools.messages.candidate import BuildRequest


@pytest.fixture(autouse=True)
def collecting(monkeypatch):
    for place, name in (
        (torch.cuda, "_compile_kernel"),
        (cpp_extension, "load_inline"),
        (cpp_extension, "load"),
    ):
        monkeypatch.setattr(place, name, lambda *given, **options: "torch's own")
    monkeypatch.setattr(inline_sources, "_collected", [])
    inline_sources.collect_inline_sources()


def texts() -> list[str]:
    return [source.text for source in inline_sources.collected()]


def test_what_nvrtc_would_compile_is_remembered_and_its_launch_does_nothing():
    kernel = torch.cuda._compile_kernel("void k() {}", "k", nvcc_options=["-DN=3", "-O2", "-DM"])
    assert texts() == ["#define N 3\n#define M 1\nvoid k() {}"]
    assert kernel(grid=(1, 1, 1), block=(1, 1, 1), args=[]) is None
    assert kernel.set_shared_memory_config(1 << 16) is None


def test_inline_cuda_is_remembered_with_the_headers_that_torch_includes():
    module: Any = cpp_extension.load_inline("m", "void go();", ["int a;", "int b;"])
    assert texts() == [f"{inline_sources._OF_TORCH}\nint a;\nint b;"] and module.go(1) is None
    assert inline_sources.collected()[0].binds_torch


def test_files_of_cuda_are_remembered_and_cpp_alone_is_left_to_torch(tmp_path):
    (tmp_path / "k.cu").write_text("int k;")
    cpp_extension.load("m", [str(tmp_path / "k.cu"), str(tmp_path / "b.cpp")])
    assert texts() == ["int k;"]
    assert cpp_extension.load("m", "b.cpp") == "torch's own"
    assert cpp_extension.load_inline("m", "int a;") == "torch's own"
    assert len(texts()) == 1


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(inline_sources, "MOST_BYTES", 20)
    for _ in range(3):
        torch.cuda._compile_kernel("x" * 9, "k")
    assert len(texts()) == 2


def test_a_source_becomes_a_request_of_its_own():
    torch.cuda._compile_kernel("void k() {}", "k")
    build = BuildRequest(
        language="python",
        binding=None,
        entry_point="kernel.py::run",
        destination_passing_style=True,
        sources=[{"path": "kernel.py", "content": ""}],
        content_hash="0",
        argument_count=1,
        output_count=1,
    )
    made = inline_sources.request_for(build, 0)
    assert (made.language, made.binding) == ("cuda", None)
    assert made.sources == [{"path": "inline_0.cu", "content": "void k() {}"}]
