"""The torch shim: whom it serves, and that it behaves as torch and pybind11 do."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from kernel_harness.tools.candidate.compilation import object_cache as objects
from kernel_harness.tools.candidate.compilation import toolchain
from kernel_harness.tools.candidate.compilation.compile_flags import (
    EXTENSION,
    CompileConfig,
    torch_config,
)
from kernel_harness.tools.candidate.compilation.native import load_extension
from kernel_harness.tools.candidate.compilation.sources import Folders
from kernel_harness.tools.candidate.torch_shim import eligibility
from kernel_harness.tools.messages.candidate import BuildRequest
from tests.folding import for_each

TOOLS = toolchain.find_toolchain(os.environ)  # noqa: TID251 - compilers of this machine

BINDING = r"""
#include <torch/extension.h>
std::vector<torch::Tensor> run(torch::Tensor x, std::optional<torch::Tensor> none, double by) {
  TORCH_CHECK(x.scalar_type() == torch::kFloat32 && !none.has_value(), "not as called: ",
              x.sizes(), x.dtype(), x.scalar_type(), x.device(), ' ' == ' ', 2.5f, 0.1, 7L);
  auto like = torch::empty_like(x), full = torch::full({2}, by, x.options());
  auto made = torch::zeros({2, 3}, torch::dtype(torch::kInt32).device(x.device()));
  TORCH_CHECK(like.sizes() == x.sizes() && made.dim() == 2);
  return {torch::ones({2}, x.options()), full, torch::zeros_like(x), made.fill_(3)};
}
std::tuple<int64_t, bool, std::string> facts(const torch::Tensor& x, int64_t at, float least) {
  TORCH_CHECK(least < 5);
  return {x.size(at), x.is_contiguous(), "text"};
}
torch::Tensor twice(torch::Tensor x) {
  auto y = x.clone();
  for (int64_t i = 0; i < y.numel(); ++i) y.data_ptr<float>()[i] *= 2;
  return y;
}
int of_number(int64_t) { return 1; }
int of_tensor(torch::Tensor) { return 2; }
std::optional<torch::Tensor> maybe(std::vector<torch::Tensor> all, std::vector<int64_t> shape) {
  if (all.empty()) return std::nullopt;
  return all[0].view(shape);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("run", &run, "Makes.", py::arg("x"), py::arg("none") = std::nullopt, py::arg("by") = 2.5);
  m.def("facts", facts, py::arg("x"), py::arg("at"), py::arg("least") = 1);
  m.def("twice", &twice);
  m.def("either", &of_number);
  m.def("either", &of_tensor);
  m.def("maybe", &maybe);
  m.def("chosen", [](torch::Tensor x, const std::string& text, bool which, int number) {
    return which ? text : std::to_string(number);
  });
}
"""
X = torch.ones(3)
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("run", (X, None, 2.5), {}),
    ("run", (), {"x": X, "by": 3}),
    ("run", (3, None, 2.5), {}),
    ("run", (X.double(),), {}),
    ("run", (X,), {"by": "a"}),
    ("facts", (X, 0), {}),
    ("facts", (X, 0, 9), {}),
    ("facts", (X, 7), {}),
    ("facts", (X, 1.5), {}),
    ("facts", (X, 2**70), {}),
    ("twice", (X,), {}),
    ("twice", (X.half(),), {}),
    ("twice", (None,), {}),
    ("either", (3,), {}),
    ("either", (X,), {}),
    ("either", ("a",), {}),
    ("maybe", ([], [1]), {}),
    ("maybe", ([X], (3, 1)), {}),
    ("maybe", ((X, 3), [1]), {}),
    ("chosen", (X, "text", True, 3), {}),
    ("chosen", (X, b"text", 0, -3), {}),
]


def request_of(sources: dict[str, str]) -> BuildRequest:
    return BuildRequest(
        language="cuda",
        binding="torch",
        entry_point=f"{next(iter(sources))}::run",
        destination_passing_style=True,
        sources=[{"path": path, "content": text} for path, text in sources.items()],
        content_hash="0",
        argument_count=1,
        output_count=1,
        cuda_arch="90a",
    )


def laid(folder: Path, source: str, name: str) -> CompileConfig:
    sources = folder / "src"
    sources.mkdir()
    (sources / name).write_text(source)
    return torch_config(request_of({name: source}), Folders(folder))


def answers(module: ModuleType) -> list[str]:
    """Everything that Python sees of it: signatures, values, and the words of errors."""
    told = [str(getattr(module, name).__doc__) for name, _, _ in CALLS]
    for name, arguments, named in CALLS:
        try:
            told.append(repr(getattr(module, name)(*arguments, **named)))
        except Exception as error:
            first, _, _ = str(error).partition("\nException raised from")
            told.append(f"{type(error).__name__}: {first}")
    return told


@pytest.mark.long
@pytest.mark.process
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_function_behaves_as_if_torch_s_own_header_had_been_included(tmp_path):
    config = laid(tmp_path, BINDING, "main.cpp")
    assert config.retry is not None and config.support is not None
    support = tmp_path / "support.o"
    commands = [objects.support_command(config, support, TOOLS)]
    files = [tmp_path / f"{kind}.o" for kind in ("shim", "own", "light")]
    for file, its in zip(files, (config, config.retry, config.base), strict=True):
        job = ("main.cpp", file)
        commands.append(objects.compile_command(job, "", tmp_path / "src", its, TOOLS))
    fast = [[word for word in command if word not in ("-O1", "-O2")] for command in commands]
    assert all(ran.ok for ran in toolchain.run(fast))
    modules: list[ModuleType] = []
    for file, more in zip(files, ([support], [support], []), strict=True):
        library = tmp_path / file.stem / f"{EXTENSION}.so"
        library.parent.mkdir()
        command = [TOOLS.cxx, "-shared", "-o", library, file, *more, *config.libraries]
        (ran,) = toolchain.run([[str(word) for word in command]])
        assert ran.ok, ran.output
        modules.append(load_extension(library))
    told = answers(modules[0])
    assert told == answers(modules[1]) == answers(modules[2])
    assert any("not as called: [3]double" in words for words in told)
    for module in modules:
        ones, full, zeros, filled = module.run(X, None, 2.5)
        assert torch.equal(ones, torch.ones(2)) and torch.equal(full, torch.full((2,), 2.5))
        assert torch.equal(zeros, torch.zeros(3)) and filled.eq(3).all() and filled.shape == (2, 3)


ONE_FILE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
__global__ void double_it(const float* x, float* y, long n) {
  long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
  if (i < n) y[i] = 2.0f * x[i];
}
void run(torch::Tensor x, torch::Tensor y) {
  TORCH_CHECK(x.is_cuda() && x.dtype() == torch::kFloat32, "x must be there, not on ", x.device());
  cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  long n = x.numel();
  double_it<<<(n + 255) / 256, 256, 0, stream>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""


@pytest.mark.long  # compile_only/test_targets.py has one compiled and linked
@pytest.mark.process
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_a_cuda_file_with_its_binding_is_compiled_without_any_header_of_torch(tmp_path):
    config = laid(tmp_path, ONE_FILE, "main.cu")
    alone = dataclasses.replace(config, include=config.include[:1])
    job = ("main.cu", tmp_path / "main.o")
    (ran,) = toolchain.run(
        [objects.compile_command(job, "90a", tmp_path / "src", alone, TOOLS)], cwd=tmp_path
    )
    assert ran.ok, ran.output
    assert "error" not in ran.output and "warning" not in ran.output


INCLUDE = "#include <torch/extension.h>\n"


@for_each(
    "source, served",
    [
        ("torch::Tensor f(at::Tensor x) { return torch::empty_like(x); }", True),
        ("#include <c10/cuda/CUDAStream.h>\nauto s = c10::cuda::getCurrentCUDAStream();", True),
        ("#include <ATen/cuda/CUDAContext.h>\nat::cuda::CUDAGuard guard(x.device());", True),
        ("using namespace torch;", True),
        ("constexpr int AT_PARTS = 4; int at = AT_PARTS;", True),
        ("bool same = AT_PARALLEL_OPENMP == 1;", False),
        ("auto h = at::cuda::getCurrentCUDABlasHandle();", False),
        ("#include <ATen/ATen.h>", False),
        ('#include "../torch/csrc/utils.h"', False),
        ("#include HEADER", False),
        ("namespace at { class Tensor; }", False),
        ("auto y = torch::softmax(x, 0);", False),
        ("py::dict settings;", False),
        ('AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "f", [&] {});', False),
        ("TORCH_LIBRARY(mine, m) {}", False),
        ("namespace kernel_harness_torch { void fail(); }", False),
    ],
)
def test_a_source_is_served_when_it_names_no_more_than_is_declared(source, served):
    assert eligibility.serves(request_of({"main.cu": INCLUDE + source})) is served


def test_the_quicker_headers_come_before_those_that_a_source_had_before(tmp_path):
    def config(source: str) -> CompileConfig:
        return torch_config(request_of({"main.cu": INCLUDE + source}), Folders(tmp_path))

    thinnest, own, light = config(""), config("torch::abs;"), config("py::dict d;")
    assert thinnest.own_types and thinnest.support is not None
    assert own.support is None and light.support is None
    own = config("#include <ATen/ATen.h>")
    assert own.support == thinnest.support and not own.own_types
    assert thinnest.retry == own and own.retry == light == thinnest.base


def test_the_support_is_compiled_against_torch_s_own_headers(tmp_path):
    headers, support = eligibility.write_files(tmp_path)
    beside = {path.name for path in support.parent.iterdir()}
    assert (headers / "torch" / "extension.h").is_file()
    quoted = set(re.findall(r'#include "([^"]+)"', support.read_text()))
    assert quoted <= beside and not (support.parent / "torch").exists()
