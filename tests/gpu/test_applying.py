"""Deployed kernels in a program on a GPU: libraries, Triton, graphs, streams, compiled code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.applying.proven_sizes import Missed
from kernel_harness.tools.applying.routing import Applied, apply
from kernel_harness.tools.archive.export.deployment import compiled_library
from kernel_harness.tools.devices.hardware import shipped_hardware
from kernel_harness.tools.schema.deployment.kernel_index import (
    INDEX_NAME,
    ArgumentForm,
    KernelIndex,
    digest_of_bytes,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution

from ..tools.applying.conftest import KERNEL as OF_CPU

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

TRITON = """
import triton
import triton.language as tl


@triton.jit
def _twice(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, 2.0 * tl.load(x + at, mask=at < n), mask=at < n)


def run(x, y):
    _twice[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
"""
CUDA = """
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>
__global__ void twice(const float* x, float* y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
void run(torch::Tensor x, torch::Tensor y) {
    twice<<<(x.numel() + 255) / 256, 256, 0, at::cuda::getCurrentCUDAStream()>>>(
        x.data_ptr<float>(), y.data_ptr<float>(), x.numel());
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
FORM = ArgumentForm(("m", "n"), "float32")
KERNEL = replace(
    OF_CPU,
    definition="twice_n64",
    axes={"m": None, "n": 64},
    inputs={"x": FORM},
    outputs={"y": FORM},
    judged=({"m": 1}, {"m": 256}),
    folder="kernels/twice",
)
SOURCES = {"triton": ("kernel.py", TRITON), "cuda": ("kernel.cu", CUDA)}
Original = Callable[[torch.Tensor], torch.Tensor]


def original(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def device_name() -> str:
    return "-".join(torch.cuda.get_device_name().replace("NVIDIA", " ").split())


@pytest.fixture(scope="module", params=SOURCES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for this device with the kernel in one language."""
    place = tmp_path_factory.mktemp("kernels")
    file, text = SOURCES[request.param]
    solution = Solution.model_validate(
        {
            "name": "twice",
            "definition": "twice_n64",
            "author": "tests",
            "spec": {
                "language": request.param,
                "target_hardware": ["cuda"],
                "entry_point": f"{file}::run",
            },
            "sources": [{"path": file, "content": text}],
        }
    )
    files = {f"kernels/twice/{file}": text.encode()}
    kernel = replace(
        KERNEL,
        language=request.param,
        entry_point=f"{file}::run",
        content_hash=solution.content_hash(),
    )
    if request.param == "cuda":
        arch = shipped_hardware()[device_name()].arch.removeprefix("sm_")
        files["libraries/twice.so"] = compiled_library(solution, 1, 1, arch)
        kernel = replace(kernel, library="libraries/twice.so")
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(content)
    digests = {path: digest_of_bytes(content) for path, content in files.items()}
    index = KernelIndex(device_name(), torch.__version__, (kernel,), digests)
    (place / INDEX_NAME).write_text(index.text(), encoding="utf-8")
    return place


@pytest.fixture
def applied(folder: Path) -> Applied:
    return apply(original, folder)


def x_of(m: int = 16) -> torch.Tensor:
    return torch.randn(m, 64, device="cuda")


def reasons(applied: Applied) -> list[Missed]:
    return [call.reason for call in applied.misses.all()]


def test_proven_sizes_go_to_the_kernel_on_any_stream(applied):
    for m in (1, 100, 256):
        x = x_of(m)
        assert torch.equal(applied.function(x), 2 * x)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    x = x_of()
    with torch.cuda.stream(stream):
        y = applied.function(x)
    stream.synchronize()
    assert torch.equal(y, 2 * x) and not applied.misses.all()


def test_nothing_waits_for_the_device(applied):
    applied.function(x_of()), applied.function(x_of(300))
    given, large, before = x_of(), x_of(300), torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        applied.function(given), applied.function(large)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert reasons(applied) == [Missed.SIZE]


def captured(function: Original, x: torch.Tensor) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = function(x)
    return graph, y


def test_a_warm_kernel_is_captured_into_a_graph(applied):
    x = x_of()
    applied.function(x)
    graph, y = captured(applied.function, x)
    x.copy_(x_of())
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, 2 * x) and not applied.misses.all()


def test_a_cold_kernel_leaves_the_capture_to_the_original(applied):
    x = x_of(17)
    graph, y = captured(applied.function, x)
    x.copy_(x_of(17))
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, 2 * x) and reasons(applied) == [Missed.CAPTURE]
    assert torch.equal(applied.function(x), 2 * x) and reasons(applied) == [Missed.CAPTURE]


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_code_calls_it(applied, mode):
    torch.compiler.reset()  # versions of one function are counted over all tests
    compiled: Any = torch.compile(lambda x: applied.function(x + 1) - 1, fullgraph=True, mode=mode)
    for m in (8, 8, 8, 9, 300):
        x = x_of(m)
        torch.testing.assert_close(compiled(x).clone(), 2 * (x + 1) - 1)


def test_a_tensor_of_the_host_goes_to_the_original(applied):
    x = torch.randn(16, 64)
    assert torch.equal(applied.function(x), 2 * x) and reasons(applied) == [Missed.DEVICE]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_tensor_of_another_gpu_than_the_current_goes_to_the_original(applied):
    x = torch.randn(16, 64, device="cuda:1")
    assert torch.equal(applied.function(x), 2 * x) and reasons(applied) == [Missed.DEVICE]
    with torch.cuda.device(1):
        assert torch.equal(applied.function(x), 2 * x) and reasons(applied) == [Missed.DEVICE]
