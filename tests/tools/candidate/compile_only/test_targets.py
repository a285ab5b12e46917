"""Kernels are compiled for targets that are not here, and launched on none."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kernel_harness.tools.candidate.compile_only.targets import real_architecture
from kernel_harness.tools.candidate.compile_only.triton_launches import (
    refuse_too_much_shared,
)
from kernel_harness.tools.candidate.faults import CandidateError
from kernel_harness.tools.judge.processes.device import device_facts
from kernel_harness.tools.messages import candidate as wire

from ..conftest import JudgeEnd

pytestmark = pytest.mark.process

ADD = """
import torch
import triton
import triton.language as tl

@triton.autotune([triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128}, num_warps=8)],
                 key=["n"])
@triton.jit
def _add(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < n
    tl.store(out + i, tl.load(x + i, m) + 1.0, m)

def run(x, out):
    multiprocessors = torch.cuda.get_device_properties("cuda").multi_processor_count
    scratch = torch.empty(multiprocessors, device="cuda")
    assert x.is_cuda and scratch.device.type == "cuda" and torch.cuda.is_available()
    with torch.cuda.device(x.device):
        torch.cuda.synchronize()
    n = x.numel()
    _add[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, out, n)
"""
TARGETS = ["sm_90", "sm_100"]


@pytest.fixture(scope="module")
def compiling():
    judge = JudgeEnd(interpret=False)
    yield judge
    judge.close()


@pytest.fixture
def compiler(compiling):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        end = compiling.spawn(Path(folder))
        yield end
        end.close()


def compiled(end, sources: dict[str, str], targets=TARGETS, **options) -> wire.Compiled:
    assert end.build(sources, **options).fault is None
    end.map()
    x, out = end.place(torch.ones(300)), end.place(torch.zeros(300))
    return end.ask(
        wire.CompileRequest(
            targets={t: device_facts(t) for t in targets}, arguments=[x], outputs=[out]
        )
    )


def test_every_configuration_is_compiled_for_every_target(compiler):
    answer = compiled(compiler, {"kernel.py": ADD}, language="triton")
    assert answer.fault is None and answer.failures == {}
    seen = {(k.target, k.config["BLOCK"], k.config["num_warps"], k.threads) for k in answer.kernels}
    assert seen == {
        (target, block, warps, 32 * warps)
        for target in TARGETS
        for block, warps in ((64, 4), (128, 8))
    }
    for kernel in answer.kernels:
        assert kernel.name == "_add"
        assert kernel.registers is not None and kernel.registers > 0
        assert kernel.spill_bytes == 0
        assert any(opcode.startswith("STG") for opcode in kernel.opcodes)
        assert "EXIT" in kernel.opcodes


def test_a_kernel_that_does_not_compile_is_told_per_target_in_triton_s_words(compiler):
    source = ADD.replace("+ 1.0", "+ undefined_name")
    answer = compiled(compiler, {"kernel.py": source}, language="triton")
    assert set(answer.failures) == set(TARGETS)
    said = answer.failures["sm_90"].splitlines()
    assert said[0] == "kernel.py:12: NameError('undefined_name is not defined')"
    assert said[-1].startswith("launched at kernel.py:21 in run: _add[")


def test_a_configuration_that_does_not_compile_is_told_beside_those_that_do(compiler):
    source = ADD.replace("tl.arange(0, BLOCK)", "tl.arange(0, BLOCK - 28 * (BLOCK // 128))")
    answer = compiled(compiler, {"kernel.py": source}, language="triton")
    assert {k.config["BLOCK"] for k in answer.kernels} == {64}
    assert answer.notes == [
        "BLOCK=128, num_warps=8, num_stages=3 does not compile for sm_90 and sm_100: "
        "kernel.py:10: arange's range must be a power of 2."
    ]


@pytest.mark.long
def test_a_call_that_ends_early_is_told_beside_what_it_launched_before(compiler):
    one = ADD.replace('triton.Config({"BLOCK": 128}, num_warps=8)', "")
    answer = compiled(compiler, {"kernel.py": one + "    nothing_here\n"}, language="triton")
    assert len(answer.kernels) == 2 and answer.fault is None
    assert "'nothing_here' is not defined (kernel.py:22 in run: nothing_here)" in answer.notes[0]


@pytest.mark.long
def test_assembly_that_a_target_does_not_have_is_placed_in_the_kernel(compiler):
    asm = (
        "    tl.inline_asm_elementwise('{ wgmma.fence.sync.aligned; mov.b32 $0, $1; }', '=r,r', "
        "[i], dtype=tl.int32, is_pure=False, pack=1)\n"
    )
    source = ADD.replace("    m = i < n\n", asm + "    m = i < n\n")
    answer = compiled(compiler, {"kernel.py": source}, language="triton")
    assert set(answer.failures) == {"sm_100"}
    assert answer.failures["sm_100"].startswith(
        "kernel.py:11: Instruction 'wgmma.fence' not supported on .target 'sm_100a'"
    )


def test_a_kernel_that_needs_more_shared_memory_than_a_block_may_have_is_refused():
    def kernel(shared: int) -> SimpleNamespace:
        return SimpleNamespace(name="_much", metadata=SimpleNamespace(shared=shared))

    for most in (232_448, 166_912):
        refuse_too_much_shared(kernel(most), most)
        with pytest.raises(CandidateError, match=f"{most + 1} bytes of shared memory"):
            refuse_too_much_shared(kernel(most + 1), most)


def test_an_older_device_s_code_is_compiled_too(compiler):
    one = ADD.replace('triton.Config({"BLOCK": 128}, num_warps=8)', "")
    (kernel,) = compiled(compiler, {"kernel.py": one}, ["sm_80"], language="triton").kernels
    assert kernel.target == "sm_80" and kernel.registers and kernel.opcodes
    names = {"sm_80": "80", "sm_90": "90a", "sm_100": "100a", "sm_100a": "100a"}
    assert {target: real_architecture(target) for target in names} == names


def test_a_call_that_launches_nothing_is_no_failure_of_compilation(compiler):
    source = "def run(x, out):\n    raise ValueError('host trouble')\n"
    answer = compiled(compiler, {"kernel.py": source}, language="triton")
    assert answer.failures == {} and answer.kernels == []
    assert answer.fault is not None and "host trouble" in answer.fault.message


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_cuda_sources_are_compiled_for_both_targets_without_a_device(compiler):
    source = (
        'extern "C" __global__ void twice(float* out, const float* x, int n) {\n'
        "  int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
        "  if (i < n) out[i] = 2.0f * x[i];\n"
        "}\n"
    )
    options = {"language": "cuda", "entry_point": "kernel.cu::run", "binding": "torch"}
    unbound = compiled(compiler, {"kernel.cu": source}, TARGETS[:1], **options)
    assert unbound.fault is not None and unbound.fault.kind == "entry_point"
    binding = (
        "#include <torch/extension.h>\n"
        "void run(torch::Tensor x, torch::Tensor out) {}\n"
        'PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }\n'
    )
    answer = compiled(compiler, {"kernel.cu": source, "binding.cpp": binding}, **options)
    assert answer.fault is None and answer.failures == {}
    assert [(k.name, k.target) for k in answer.kernels] == [("twice", t) for t in TARGETS]
    assert all(k.registers and k.spill_bytes == 0 and k.opcodes for k in answer.kernels)
    assert all(k.threads is None for k in answer.kernels)
    called, _ = compiler.call([torch.ones(2)], [torch.ones(2)])
    assert called.fault is not None and "on a GPU only" in called.fault.message


def test_cuda_sources_that_could_never_be_loaded_are_refused_before_they_are_compiled(compiler):
    built = compiler.build(
        {"kernel.cu": "__global__ void k() {}"},
        language="cuda",
        entry_point="kernel.cu::run",
        binding=None,
    )
    assert built.fault is not None and built.fault.kind == "binding"


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_nvcc_s_own_words_say_why_a_source_does_not_compile(compiler):
    options = {"language": "cuda", "entry_point": "kernel.cu::run", "binding": "torch"}
    answer = compiled(compiler, {"kernel.cu": "__global__ void k() { nonsense; }\n"}, **options)
    assert set(answer.failures) == set(TARGETS)
    assert 'kernel.cu(1): error: identifier "nonsense" is undefined' in answer.failures["sm_90"]


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_cuda_assembly_is_placed_and_launch_bounds_give_the_block_size(compiler):
    source = (
        'extern "C" __global__ void __launch_bounds__(192) fence(float* out) {\n'
        '  asm volatile("wgmma.fence.sync.aligned;");\n'
        "  out[threadIdx.x] = 1.0f;\n"
        "}\n"
    )
    options = {"language": "cuda", "entry_point": "kernel.cu::run", "binding": "torch"}
    answer = compiled(compiler, {"kernel.cu": source}, **options)
    assert [(k.target, k.threads) for k in answer.kernels] == [("sm_90", 192)]
    assert answer.failures["sm_100"].startswith("kernel.cu:2: Instruction 'wgmma.fence'")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_a_host_function_that_the_shim_does_not_serve_is_told_as_not_called(compiler):
    source = (
        "namespace torch { inline void softmax() {} }\n"  # a name that the shim lacks
        "__global__ void one(float* out) { out[threadIdx.x] = 1.0f; }\n"
        "void run() { torch::softmax(); one<<<1, 1>>>(nullptr); }\n"
        "struct Module { template <class F> void def(const char*, F) {} };\n"
        "#define PYBIND11_MODULE(name, module) void made(Module module)\n"
        'PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }\n'
    )
    options = {"language": "cuda", "entry_point": "kernel.cu::run", "binding": "torch"}
    answer = compiled(compiler, {"kernel.cu": source}, **options)
    assert answer.notes == [
        "The host function was not called against a stub of the driver, so the grids, blocks and "
        "arguments of its launches were not checked: it could not be linked."
    ]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize("name", ["data_of", "at"])
def test_a_binding_that_the_shim_does_not_serve_is_compiled_with_torchs_own_headers(compiler, name):
    binding = (
        "#include <torch/extension.h>\n"
        "void launch(float*);\n"
        f"template <class T> static T* {name}(const torch::Tensor& x)"
        " { return static_cast<T*>(x.data_ptr()); }\n"
        "void run(torch::Tensor x, torch::Tensor y) {\n"
        "  auto made = [](torch::ScalarType type) { return torch::TensorOptions().dtype(type); };\n"
        f"  torch::empty({{1}}, made(torch::kFloat32)); launch({name}<float>(x));\n"
        "}\n"
        'PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }\n'
    )
    kernel = (
        "__global__ void one(float* out) { out[threadIdx.x] = 1.0f; }\n"
        "void launch(float* out) { one<<<1, 1>>>(out); }\n"
    )
    options = {"language": "cuda", "entry_point": "binding.cpp::run", "binding": "torch"}
    answer = compiled(compiler, {"binding.cpp": binding, "kernel.cu": kernel}, **options)
    if name == "data_of":
        assert answer.fault is None
        return
    assert answer.fault is not None and answer.fault.message == "binding.cpp did not compile"
    assert "redeclared as different kind of entity" in (answer.fault.excerpt or "")


LOADS_KERNELS = """
import ctypes, pathlib
pathlib.Path("k.so").write_bytes(b"\\x7fELF" + bytes(600) + b"\\0.nv_fatbin\\0")
try:
    ctypes.CDLL("./k.so")
except OSError:
    pass

def run(x, out):
    out.copy_(x)
"""


def test_what_is_loaded_with_kernels_and_never_called_is_told(compiler):
    answer = compiled(compiler, {"kernel.py": LOADS_KERNELS})
    assert answer.notes == [
        "k.so, which it loads, holds CUDA kernels. It was not called against a stub of the driver, "
        "so the grids, blocks and arguments of its launches were not checked."
    ]


INLINE = """
import torch

KERNEL = torch.cuda._compile_kernel("__global__ void twice(float* x) { x[0] *= 2; }", "twice")

def run(x, out):
    KERNEL(grid=(1, 1, 1), block=(1, 1, 1), args=[x])
"""


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
@pytest.mark.long
def test_what_python_compiles_and_never_calls_is_told(compiler):
    answer = compiled(compiler, {"kernel.py": INLINE})
    assert {kernel.target for kernel in answer.kernels} == set(TARGETS)
    assert answer.notes == [
        "What Python compiles was not called against a stub of the driver, so the grids, blocks "
        "and arguments of its launches were not checked."
    ]


CUTE = """\
#include <cute/tensor.hpp>
#include <cutlass/numeric_types.h>
#include <torch/extension.h>
using namespace cute;
__global__ void scaled(float const* x, cutlass::bfloat16_t* y, int rows) {
    auto layout = make_layout(make_shape(rows, Int<128>{}), LayoutRight{});
    auto from = make_tensor(make_gmem_ptr(x), layout);
    auto to = make_tensor(make_gmem_ptr(y), layout);
    auto mine = local_tile(from, make_shape(_1{}, Int<128>{}), make_coord(blockIdx.x, _0{}));
    to(blockIdx.x, threadIdx.x) = cutlass::bfloat16_t(2.0f * mine(_0{}, threadIdx.x));
}
void run(torch::Tensor x, torch::Tensor y) {
    auto* to = static_cast<cutlass::bfloat16_t*>(y.data_ptr());
    scaled<<<x.size(0), 128>>>(x.data_ptr<float>(), to, int(x.size(0)));
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""


@pytest.mark.long
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.timeout(600)
def test_cutlass_is_compiled_where_a_candidate_names_its_package(compiler):
    pytest.importorskip("cutlass_library", reason="nvidia-cutlass is not installed")
    options = {"language": "cuda", "entry_point": "kernel.cu::run", "binding": "torch"}
    named = {"dependencies": ["nvidia-cutlass"], **options}
    answer = compiled(compiler, {"kernel.cu": CUTE}, **named)
    assert answer.failures == {} and answer.fault is None
    assert [(k.name, k.target) for k in answer.kernels] == [
        ("scaled", target) for target in TARGETS
    ]
    without = compiled(compiler, {"kernel.cu": CUTE}, **options)
    assert without.fault is not None and without.fault.kind == "toolchain"
    assert "dependencies = ['nvidia-cutlass']" in without.fault.message
