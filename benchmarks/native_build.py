"""How long a CUDA C++ candidate with the torch binding takes to build; needs nvcc, no GPU.

    python benchmarks/native_build.py

Builds one small kernel for sm_90a three ways, through the code that builds candidates: kernel and
binding in two files, the kernel changed beside the same binding, and all in one file. Prints wall
and processor seconds of the compilers.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.candidate.build_native import make_library
from kernel_harness.tools.candidate.keeper import publish
from kernel_harness.tools.candidate.recipes import torch_recipe
from kernel_harness.tools.candidate.sources import Folders
from kernel_harness.tools.wire import BuildRequest

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
CASES: dict[str, dict[str, str]] = {
    "two files": {"kernel.cu": KERNEL, "binding.cpp": BINDING},
    "kernel changed": {"kernel.cu": KERNEL.replace("256", "128"), "binding.cpp": BINDING},
    "one file": {"main.cu": KERNEL + BINDING},
}


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

    def keep(key: str, folder: Path, when: str) -> None:
        publish(folder, cache, key)

    folders = Folders(private, cache, keep)
    began, before = time.perf_counter(), os.times()
    make_library(request, sources, folders, torch_recipe(request, folders))
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
        root = Path(folder)
        cache = root / "cache"
        cache.mkdir()
        for name, files in CASES.items():
            wall, spent = build(name, files, root, cache)
            table.add_row(name, f"{wall:.1f}", f"{spent:.1f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
