"""Host functions of CUDA candidates are called where there is no GPU, and what they do is told."""

from __future__ import annotations

import importlib

import pytest

from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.evaluation import Evaluation, Status

from ...judging import JudgeProcess, make_plan, make_solution

HONEST = importlib.import_module("tests.adversarial.honest.cuda_extension").SOURCE
STATIC = wire_judge.Checks(execute=False, timed=False, static_targets=["sm_90"])
LAUNCH = "affine_kernel<<<m, n, 0, stream>>>("
GUARD = "    if (m > 0)\n"


def compiled(judge: JudgeProcess, source: str) -> Evaluation:
    solution = make_solution(
        {"kernel.cu": source},
        definition="affine_n64",
        language="cuda",
        binding="torch",
        entry_point="kernel.cu::run",
    )
    return judge.evaluate(make_plan(solution, checks=STATIC, scope="static"))


CALLED = [
    pytest.param("", "", Status.COMPILED, "", id="honest"),
    pytest.param(
        LAUNCH, LAUNCH.replace("m,", "m - m,"), Status.RUNTIME_ERROR, "grid is empty", id="empty"
    ),
    pytest.param(
        LAUNCH, LAUNCH.replace("n,", "32 * n,"), Status.RUNTIME_ERROR, "1024 threads", id="block"
    ),
    pytest.param(
        "table.data_ptr<int>()",
        "(int*)table.data_ptr<int64_t>()",
        Status.INVALID_CANDIDATE,
        "expected scalar type",
        id="dtype",
    ),
    pytest.param(GUARD, "    *(volatile int*)8 = 1;\n" + GUARD, Status.COMPILED, "", id="crash"),
    pytest.param(GUARD, "    for (volatile int i = 0;; ++i) {}\n", Status.COMPILED, "", id="hang"),
]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("old", "new", "status", "words"), CALLED)
def test_a_host_function_is_called_against_a_stub_of_the_runtime(judge, old, new, status, words):
    assert old in HONEST
    evaluation = compiled(judge, HONEST.replace(old, new, 1) if old else HONEST)
    assert evaluation.status is status, evaluation.failure
    said = evaluation.failure.message if evaluation.failure else ""
    assert words in said
    if not old:
        assert evaluation.static is not None
        (kernel,) = evaluation.static.kernels
        assert kernel.name == "affine_kernel" and any(kernel.grids.values())


TILES = (
    importlib.import_module("tests.adversarial.clock.honest_tensor_map")
    .SOURCE.replace(
        "    reinterpret_cast<decltype", "    CUresult made = reinterpret_cast<decltype", 1
    )
    .replace(
        "    return map;", '    TORCH_CHECK(made == CUDA_SUCCESS, "no such map");\n    return map;'
    )
)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("stride", "words"), [("256", ""), ("250", "no such map")])
def test_a_tensor_map_is_made_as_the_driver_would(judge, stride, words):
    assert TILES.count("CUresult made") == TILES.count("no such map") == 1
    evaluation = compiled(judge, TILES.replace("strides[1] = {256}", f"strides[1] = {{{stride}}}"))
    assert evaluation.status is Status.COMPILED, evaluation.failure
    assert evaluation.static is not None
    said = evaluation.static.reason or ""
    assert words in said and ("raised" in said) == bool(words), said


TVM = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
__global__ void affine_kernel(float* y) { y[0] = 1; }
void run(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {
  affine_kernel<<<1, 1>>>(static_cast<float*>(y.data_ptr()));
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(NAME, run);
"""


@pytest.mark.parametrize(
    ("name", "words"), [("run", "run takes 2 arguments"), ("other", "the sources export other")]
)
def test_exports_of_tvm_ffi_are_checked_whether_or_not_it_is_installed(judge, name, words):
    solution = make_solution(
        {"kernel.cu": TVM.replace("NAME", name)},
        definition="affine_n64",
        language="cuda",
        binding="tvm-ffi",
        entry_point="kernel.cu::run",
    )
    evaluation = judge.evaluate(make_plan(solution, checks=STATIC, scope="static"))
    assert evaluation.status is Status.INVALID_CANDIDATE and evaluation.failure is not None
    assert words in evaluation.failure.message


TVM_AFFINE = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
using tvm::ffi::TensorView;
__global__ void affine_kernel(const float* x, float* y) { y[0] = x[0]; }
void run(TensorView x, TensorView w, TensorView table, double alpha, TensorView y, TensorView row) {
  if (y.device().device_type != kDLCUDA || table.dtype().bits != 32)
    TVM_FFI_THROW(ValueError) << "the tensors of a device are due";
  int m = y.shape()[0];
  if (m > 0)
    affine_kernel<<<m, 64>>>((const float*)x.data_ptr(), (float*)y.data_ptr());
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        pytest.param("", "", Status.COMPILED, "", id="honest"),
        pytest.param("<<<m,", "<<<0,", Status.RUNTIME_ERROR, "its grid is empty", id="empty"),
        pytest.param(
            "TensorView table,", "int table,", Status.INVALID_CANDIDATE, "on argument #2", id="type"
        ),
    ],
)
def test_a_function_of_tvm_ffi_is_called_against_the_stub(judge, old, new, status, words):
    pytest.importorskip("tvm_ffi")
    source = TVM_AFFINE.replace(old, new, 1) if old else TVM_AFFINE
    if "int table" in source:
        source = source.replace("table.dtype().bits", "table")
    solution = make_solution(
        {"kernel.cu": source},
        definition="affine_n64",
        language="cuda",
        binding="tvm-ffi",
        entry_point="kernel.cu::run",
    )
    evaluation = judge.evaluate(make_plan(solution, checks=STATIC, scope="static"))
    assert evaluation.status is status, evaluation.failure
    assert evaluation.static is not None
    notes = evaluation.static.reason or ""
    assert "of a device are due" not in notes
    assert words in (evaluation.failure.message if evaluation.failure else "")


INLINE = """
import torch
from torch.utils import cpp_extension

ONE = 'extern "C" __global__ void one(float* y) { y[0] = FIRST; }'
NVRTC = torch.cuda._compile_kernel(ONE, "one")
INLINE = cpp_extension.load_inline(
    name="two",
    cpp_sources="void go(torch::Tensor y);",
    cuda_sources="__global__ void two(float* y) { y[0] = VALUE; }"
    "void go(torch::Tensor y) { two<<<1, 1>>>(y.data_ptr<float>()); }",
    functions=["go"],
    extra_cuda_cflags=["-O3", "-DVALUE=2"],
)

def run(x, w, table, alpha, y, row):
    NVRTC((1, 1, 1), (1, 1, 1), (y,))
    INLINE.go(y)
"""


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("first", "status", "scope"),
    [
        ("1", Status.COMPILED, "static"),
        ("nowhere", Status.COMPILE_ERROR, "static"),
        ("1", Status.NOT_JUDGED, "smoke"),
    ],
)
def test_cuda_that_python_hands_to_a_compiler_is_compiled_for_targets(judge, first, status, scope):
    solution = make_solution(INLINE.replace("FIRST", first), definition="affine_n64")
    checks = STATIC.model_copy(update={"execute": scope != "static"})
    evaluation = judge.evaluate(make_plan(solution, checks=checks, scope=scope))
    assert evaluation.status is status, evaluation.failure
    if status is Status.COMPILE_ERROR:
        assert evaluation.failure is not None and "nowhere" in evaluation.failure.message
    else:
        assert evaluation.static is not None
        names = {kernel.name.partition("(")[0] for kernel in evaluation.static.kernels}
        assert names == {"one", "two"}
