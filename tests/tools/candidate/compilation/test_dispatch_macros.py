"""Sources that choose a type by ATen's macros compile, however long its own headers take."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kernel_harness.tools.candidate.compilation import toolchain
from kernel_harness.tools.candidate.compilation.native import compile_device_code
from kernel_harness.tools.candidate.compilation.sources import Folders
from kernel_harness.tools.messages.candidate import BuildRequest

PATIENCE_S = 1500.0
SOURCE = """
#include <torch/extension.h>

template <typename scalar_t>
__global__ void tripled(const scalar_t* x, scalar_t* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] * scalar_t(3);
}

torch::Tensor run(torch::Tensor x) {
  auto y = torch::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND_HALF(x.scalar_type(), "tripled", [&] {
    tripled<scalar_t><<<1, 256>>>(x.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), x.numel());
  });
  return y;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(1600)
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
def test_a_kernel_behind_dispatch_macros_compiles(tmp_path: Path) -> None:
    request = BuildRequest(
        language="cuda",
        binding="torch",
        entry_point="kernel.cu::run",
        destination_passing_style=False,
        sources=[{"path": "kernel.cu", "content": SOURCE}],
        content_hash="0" * 64,
        argument_count=1,
        output_count=1,
    )
    place = tmp_path / "sources"
    place.mkdir()
    (place / "kernel.cu").write_text(SOURCE)
    tools = toolchain.find_toolchain(
        {"PATH": f"{Path(shutil.which('nvcc') or '').parent}:/usr/bin"}
    )
    toolchain.allow(PATIENCE_S)
    try:
        cubin = ("kernel.cu", "90a", tmp_path / "kernel.cubin")
        (ran,) = compile_device_code(request, place, Folders(tmp_path), tools, [cubin])
    finally:
        toolchain.allow(float("inf"))
    assert ran.ok, ran.output
    assert "tripled" in ran.output and cubin[2].is_file()
