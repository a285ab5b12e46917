"""Wall time of the first sight of a candidate in each language, and of a change to its kernel.

    python benchmarks/languages.py

Needs an NVIDIA GPU; tvm-ffi and nvcc for the bindings that use them. One small kernel, two
workloads, scope `sample`, a judge that is up and a cache that has never seen anything of the
language. Between two evaluations it waits, as an agent would that writes the next kernel. "Again"
is the same bytes once more, forced; "changed" has another body of the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution, Workload
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

BODY, CHANGED = "2.0f * x[i]", "x[i] + x[i]"
TRITON_BODY, TRITON_CHANGED = "2.0 * v", "v + v"
KERNEL = f"""
__global__ void double_it(const float* x, float* y, long n) {{
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = {BODY};
}}
"""
TVM_FFI = f"""
#include <cuda_runtime.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>
{KERNEL}
namespace ffi = tvm::ffi;
void run(ffi::TensorView x, ffi::TensorView y) {{
    long n = x.size(0);
    auto stream = static_cast<cudaStream_t>(
        TVMFFIEnvGetStream(x.device().device_type, x.device().device_id));
    double_it<<<(n + 255) / 256, 256, 0, stream>>>(
        static_cast<const float*>(x.data_ptr()), static_cast<float*>(y.data_ptr()), n);
}}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""
TORCH = f"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
{KERNEL}
void run(torch::Tensor x, torch::Tensor y) {{
    long n = x.numel();
    double_it<<<(n + 255) / 256, 256, 0, c10::cuda::getCurrentCUDAStream()>>>(
        x.data_ptr<float>(), y.data_ptr<float>(), n);
}}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{ m.def("run", &run); }}
"""
NVRTC = f"""
import torch
kernel = torch.cuda._compile_kernel('''extern "C" {KERNEL}''', "double_it")

def run(x, y):
    n = x.numel()
    kernel(((n + 255) // 256, 1, 1), (256, 1, 1), (x, y, n))
"""
TRITON = f"""
import triton
import triton.language as tl

@triton.jit
def double_it(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < n)
    tl.store(y + at, {TRITON_BODY}, mask=at < n)

def run(x, y):
    double_it[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
"""
LANGUAGES = {
    "Triton": ("triton", None, "main.py", TRITON),
    "NVRTC from Python": ("python", None, "main.py", NVRTC),
    "CUDA C++, tvm-ffi": ("cuda", "tvm-ffi", "main.cu", TVM_FFI),
    "CUDA C++, torch": ("cuda", "torch", "main.cu", TORCH),
}
console = Console(width=120)


def operator() -> Operator:
    """y = 2 x, in two sizes."""
    definition = Definition.model_validate(
        {
            "name": "double",
            "op_type": "elementwise",
            "axes": {"n": {"type": "var"}},
            "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
            "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
            "reference": "def run(x):\n    return x * 2\n",
        }
    )
    inputs = {"x": {"type": "random"}}
    workloads = tuple(
        Workload.model_validate({"uuid": f"n{n}", "axes": {"n": n}, "inputs": inputs})
        for n in (1_000, 100_000)
    )
    return Operator(definition=definition, workloads=workloads)


def solution(name: str, *, changed: bool = False) -> Solution:
    """The kernel in one language."""
    language, binding, file, text = LANGUAGES[name]
    if changed:
        text = text.replace(BODY, CHANGED).replace(TRITON_BODY, TRITON_CHANGED)
    return Solution.model_validate(
        {
            "name": "double",
            "definition": "double",
            "author": "benchmark",
            "spec": {
                "language": language,
                "binding": binding,
                "target_hardware": ["cuda"],
                "entry_point": f"{file}::run",
            },
            "sources": [{"path": file, "content": text}],
        }
    )


async def seconds_of(harness: Harness, candidate: Solution, pause_s: float) -> tuple[float, float]:
    """Wall time of one evaluation and of its build."""
    began = time.perf_counter()
    request = harness.lookup.evaluation_request(solution=candidate, force=True)
    evaluation = (await harness.evaluations.evaluate(request)).evaluation
    seconds = time.perf_counter() - began
    if evaluation.status is not Status.PASSED:
        raise SystemExit(f"{candidate.spec.language}: {evaluation.status} {evaluation.failure}")
    await asyncio.sleep(pause_s)
    return seconds, evaluation.evidence.seconds.get("candidate_build", 0.0)


async def measure(pause_s: float) -> Table:
    """Evaluates each language three times."""
    table = Table(title="Seconds of one evaluation as the caller waits (of them in the build)")
    for column in ("candidate", "first sight", "again", "kernel changed"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"data_dir": folder})
        harness = Harness(settings, Dataset(operators={"double": operator()}, problems=()))
        await harness.warm()
        await asyncio.sleep(pause_s)
        for name in LANGUAGES:
            candidates = (solution(name), solution(name), solution(name, changed=True))
            found = [await seconds_of(harness, candidate, pause_s) for candidate in candidates]
            table.add_row(name, *(f"{whole:.2f} ({build:.2f})" for whole, build in found))
        await harness.aclose()
    return table


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between evaluations")
    console.print(asyncio.run(measure(parser.parse_args().pause)))


if __name__ == "__main__":
    main()
