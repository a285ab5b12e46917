"""How long a CUDA C++ candidate with the torch binding takes to build; needs nvcc, no GPU.

    python benchmarks/native_build.py

Builds one small kernel for sm_90a through the code that builds candidates: all in one file, and
kernel and binding in two, each on a machine that has kept nothing and again with the kernel
changed; and one file that names more of torch, and more of pybind11, than the quicker headers
declare. Prints wall and processor seconds of the compilers.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.candidate.compilation.compile_flags import torch_config
from kernel_harness.tools.candidate.compilation.native import make_library
from kernel_harness.tools.candidate.compilation.sources import Folders
from kernel_harness.tools.candidate.process.build_cache import BuildCache
from kernel_harness.tools.messages.candidate import BuildRequest
from kernel_harness.tools.messages.zygote import FETCHED_FOLDER

KERNEL = """
#include <cuda_runtime.h>
__global__ void double_it(const float* x, float* y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
void launch(const float* x, float* y, long n) {
    double_it<<<(n + 255) / 256, 256>>>(x, y, n);
}
"""
BINDING = """
#include <torch/extension.h>
void launch(const float* x, float* y, long n);
void run(torch::Tensor x, torch::Tensor y) {
    launch(x.data_ptr<float>(), y.data_ptr<float>(), x.numel());
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
CHANGED = KERNEL.replace("256", "128")
SUM = BINDING.replace("x.numel()", "x.numel() + x.sum().dim()")
DICT = "void more(py::dict settings) {}"
CASES: dict[str, list[tuple[str, dict[str, str]]]] = {
    "one file": [
        ("first of all", {"main.cu": KERNEL + BINDING}),
        ("kernel changed", {"main.cu": CHANGED + BINDING}),
        ("more of torch", {"main.cu": KERNEL + SUM}),
        ("more of pybind11", {"main.cu": KERNEL + BINDING + DICT}),
    ],
    "two files": [
        ("first of all", {"kernel.cu": KERNEL, "binding.cpp": BINDING}),
        ("kernel changed", {"kernel.cu": CHANGED, "binding.cpp": BINDING}),
    ],
}
"""Candidates that are built one after another beside one cache, which is empty at first."""


def build(name: str, files: dict[str, str], root: Path, cache: Path) -> tuple[float, float]:
    """Builds one candidate; wall and processor seconds."""
    private = root / name.replace(" ", "-")
    sources = private / "src"
    sources.mkdir(parents=True)
    for path, text in files.items():
        (sources / path).write_text(text)
    request = BuildRequest(
        language="cuda",
        binding="torch",
        entry_point=f"{next(iter(files))}::run",
        destination_passing_style=True,
        sources=[{"path": path, "content": text} for path, text in files.items()],
        content_hash=name,
        argument_count=1,
        output_count=1,
        cuda_arch="90a",
    )

    fetched = private / FETCHED_FOLDER
    fetched.mkdir()
    kept = BuildCache(cache, private)
    folders = Folders(private, lambda key: fetched / key if kept.fetch(key) else None, kept.publish)
    began, before = time.perf_counter(), os.times()
    make_library(request, sources, folders, torch_config(request, folders))
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    return time.perf_counter() - began, spent


def main() -> None:
    """Runs the benchmark."""
    table = Table(title="torch binding, sm_90a")
    for column in ("candidate", "wall s", "processor s"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for layout, candidates in CASES.items():
            root = Path(folder, layout.replace(" ", "-"))
            cache = root / "cache"
            cache.mkdir(parents=True)
            for name, files in candidates:
                wall, spent = build(name, files, root, cache)
                table.add_row(f"{layout}, {name}", f"{wall:.1f}", f"{spent:.1f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
