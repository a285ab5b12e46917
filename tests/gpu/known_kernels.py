"""Kernels of known character: what each spends its time on is known from how it is written.

Loaded by path, by the GPU tests of profiling and by `record_ncu_fixtures.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kernel_harness.tools.profiling.runs.run_files import Subject, WorkloadInputs
from kernel_harness.tools.schema.definition import Definition
from kernel_harness.tools.schema.flashinfer_trace import Solution

Inputs = Callable[[], dict[str, torch.Tensor]]

NVRTC = '''
import torch

_SOURCE = """{source}"""
_KERNEL = torch.cuda._compile_kernel(_SOURCE, "{name}")
_SMS = torch.cuda.get_device_properties(0).multi_processor_count


def run(x, y):
    _KERNEL({grid}, {block}, [{arguments}])
'''

COPY = """
extern "C" __global__ void copy_kernel(const float4* x, float4* y, int n) {
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += step)
        y[i] = x[i];
}
"""
CHASE = """
extern "C" __global__ void chase_kernel(const int* next, int* y, int steps) {
    if (threadIdx.x != 0) return;
    int at = next[blockIdx.x * 4096];
    for (int i = 0; i < steps; ++i) at = next[at];
    y[blockIdx.x] = at;
}
"""
TINY = """
extern "C" __global__ void tiny_kernel(const float* x, float* y, int rounds) {
    float a = x[threadIdx.x], b = 1.0001f;
    for (int i = 0; i < rounds; ++i) a = a * b + 0.5f;
    y[blockIdx.x * blockDim.x + threadIdx.x] = a;
}
"""
SPILL = """
extern "C" __global__ void __launch_bounds__(1024, 2)
spill_kernel(const float* x, float* y, int rounds) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float a[96];
    #pragma unroll
    for (int k = 0; k < 96; ++k) a[k] = x[(i + k * 37) & 0xFFFF];
    for (int r = 0; r < rounds; ++r) {
        #pragma unroll
        for (int k = 0; k < 96; ++k) a[k] = a[k] * 1.0001f + a[(k * 7 + 1) % 96];
    }
    float sum = 0.0f;
    #pragma unroll
    for (int k = 0; k < 96; ++k) sum += a[k];
    y[i] = sum;
}
"""
CONFLICTS = """
extern "C" __global__ void conflict_kernel(const float* x, float* y, int rounds) {
    __shared__ float tile[32 * 32];
    volatile float* shared = tile;
    int lane = threadIdx.x & 31;
    for (int k = threadIdx.x; k < 1024; k += blockDim.x) shared[k] = x[k];
    __syncthreads();
    float sum = 0.0f;
    for (int r = 0; r < rounds; ++r) sum += shared[lane * 32 + (r & 31)];
    y[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
"""
SHORT = """
extern "C" __global__ void short_kernel(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] + 1.0f;
}
"""
GEMM = """
import torch


def run(x, y):
    torch.mm(x, x, out=y)
"""
CHAIN = '''
import time

import torch

_SOURCE = """{source}"""
_KERNEL = torch.cuda._compile_kernel(_SOURCE, "short_kernel")


def run(x, y):
    grid, block = (x.numel() // 256, 1, 1), (256, 1, 1)
    _KERNEL(grid, block, [x, y, x.numel()])
    time.sleep(300e-6)
    _KERNEL(grid, block, [y, y, x.numel()])
'''
OUT_OF_BOUNDS = """
import triton
import triton.language as tl


@triton.jit
def beyond(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n))


def run(x, y):
    beyond[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), BLOCK=1024)
"""
OUT_OF_BOUNDS_LINE = 9
OVERRUNS = {
    "of the input": "y[0] = x[n];",
    "of the output": "y[n] = 1.0f;",
    "of the scratch, read": "y[0] = s[n];",
    "of the scratch, written": "s[n] = 1.0f;",
    "before the input": "y[0] = x[-1];",
    "before the output": "y[-1] = 1.0f;",
}
"""One access of four bytes beyond a tensor of n elements."""
OVERRUN_N = 1000
OVERRUN = '''
import torch

_SOURCE = """
extern "C" __global__ void overrun_kernel(const float* x, float* y, float* s, int n) {{
    for (int i = threadIdx.x; i < n; i += blockDim.x) {{ s[i] = x[i]; y[i] = s[i]; }}
    __syncthreads();
    if (threadIdx.x == 0) {{ {access} }}
}}
"""
_KERNEL = torch.cuda._compile_kernel(_SOURCE, "overrun_kernel")


def run(x, y):
    s = torch.empty_like(x)
    _KERNEL((1, 1, 1), (256, 1, 1), [x, y, s, x.numel()])
'''


@dataclass(frozen=True)
class Known:
    """A kernel, what to run it on, and what it must be called.

    Attributes:
        bottleneck: the class that its design gives it.
        level: the unit that is busy, where the class has one and the design decides it.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    dtype: str
    out_dtype: str
    inputs: Inputs
    bottleneck: str
    level: str | None = None
    language: str = "python"

    def subject(self) -> Subject:
        """The kernel as a solution to a definition of its own."""
        axes = {f"i{k}": n for k, n in enumerate(self.shape)}
        axes |= {f"o{k}": n for k, n in enumerate(self.out_shape)}
        definition: dict[str, Any] = {
            "name": f"known_{self.name}",
            "op_type": "known",
            "axes": {name: {"type": "const", "value": n} for name, n in axes.items()},
            "inputs": {"x": {"shape": [f"i{k}" for k in range(len(self.shape))]}},
            "outputs": {"y": {"shape": [f"o{k}" for k in range(len(self.out_shape))]}},
            "reference": "def run(x):\n    return x\n",
        }
        definition["inputs"]["x"]["dtype"] = self.dtype
        definition["outputs"]["y"]["dtype"] = self.out_dtype
        solution = {
            "name": self.name,
            "definition": definition["name"],
            "author": "test",
            "spec": {
                "language": self.language,
                "target_hardware": ["cuda"],
                "entry_point": "kernel.py::run",
                "destination_passing_style": True,
            },
            "sources": [{"path": "kernel.py", "content": self.source}],
        }
        return Subject(Solution.model_validate(solution), Definition.model_validate(definition))

    def workload(self, folder: Path) -> WorkloadInputs:
        """Its one workload, with inputs written to a folder."""
        from safetensors.torch import save_file

        path = folder / f"{self.name}.safetensors"
        save_file(self.inputs(), str(path), metadata={"scalars": "{}"})
        return WorkloadInputs(self.name, {}, path)


def _nvrtc(source: str, name: str, grid: str, block: str, arguments: str) -> str:
    return NVRTC.format(source=source, name=name, grid=grid, block=block, arguments=arguments)


def _uniform(count: int) -> dict[str, torch.Tensor]:
    return {"x": torch.rand(count, generator=torch.Generator().manual_seed(5))}


def _cycle(count: int) -> dict[str, torch.Tensor]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(5))
    following = torch.empty(count, dtype=torch.int32)
    following[order] = torch.roll(order, -1).to(torch.int32)
    return {"x": following}


COPY_N, CHASE_N, GEMM_N, WIDE = 1 << 26, 1 << 26, 8192, 1 << 20
KNOWN = (
    Known(
        "copy",
        _nvrtc(COPY, "copy_kernel", "(_SMS * 8, 1, 1)", "(256, 1, 1)", "x, y, x.numel() // 4"),
        (COPY_N,),
        (COPY_N,),
        "float32",
        "float32",
        lambda: _uniform(COPY_N),
        "memory_bandwidth",
        "DRAM",
    ),
    Known(
        "gemm",
        GEMM,
        (GEMM_N, GEMM_N),
        (GEMM_N, GEMM_N),
        "bfloat16",
        "bfloat16",
        lambda: {"x": torch.randn(GEMM_N, GEMM_N).bfloat16()},
        "compute",
    ),
    Known(
        "pointer_chase",
        _nvrtc(CHASE, "chase_kernel", "(_SMS * 8, 1, 1)", "(32, 1, 1)", "x, y, 256"),
        (CHASE_N,),
        (4096,),
        "int32",
        "int32",
        lambda: _cycle(CHASE_N),
        "memory_latency",
    ),
    Known(
        "tiny_grid",
        _nvrtc(TINY, "tiny_kernel", "(8, 1, 1)", "(256, 1, 1)", "x, y, 20000"),
        (WIDE,),
        (WIDE,),
        "float32",
        "float32",
        lambda: _uniform(WIDE),
        "tail",
    ),
    Known(
        "spill",
        _nvrtc(SPILL, "spill_kernel", "(_SMS * 2, 1, 1)", "(1024, 1, 1)", "x, y, 64"),
        (WIDE,),
        (WIDE,),
        "float32",
        "float32",
        lambda: _uniform(WIDE),
        "spills",
    ),
    Known(
        "bank_conflicts",
        _nvrtc(CONFLICTS, "conflict_kernel", "(_SMS * 4, 1, 1)", "(256, 1, 1)", "x, y, 4096"),
        (WIDE,),
        (WIDE,),
        "float32",
        "float32",
        lambda: _uniform(WIDE),
        "memory_bandwidth",
        "shared memory",
    ),
    Known(
        "chain_with_gap",
        CHAIN.format(source=SHORT),
        (1 << 16,),
        (1 << 16,),
        "float32",
        "float32",
        lambda: _uniform(1 << 16),
        "launch",
    ),
)
FAULTY = Known(
    "out_of_bounds",
    OUT_OF_BOUNDS,
    (1000,),
    (1000,),
    "float32",
    "float32",
    lambda: _uniform(1000),
    "launch",
    language="triton",
)


def overrun(access: str) -> Known:
    """A kernel that makes one access beside its work."""
    return Known(
        "overrun",
        OVERRUN.format(access=access),
        (OVERRUN_N,),
        (OVERRUN_N,),
        "float32",
        "float32",
        lambda: _uniform(OVERRUN_N),
        "launch",
    )


def known(name: str) -> Known:
    """The kernel of that name."""
    return next(kernel for kernel in KNOWN if kernel.name == name)
