"""Candidates in every language pass on a GPU, and a second build of the same sources is kept."""

import pytest

from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution, Workload
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

pytestmark = pytest.mark.gpu

DEVICE_CODE = """
__global__ void double_it(const float* x, float* y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
"""
TVM_FFI = (
    "#include <cuda_runtime.h>\n#include <tvm/ffi/container/tensor.h>\n"
    "#include <tvm/ffi/extra/c_env_api.h>\n#include <tvm/ffi/function.h>\n"
    + DEVICE_CODE
    + """
namespace ffi = tvm::ffi;
void run(ffi::TensorView x, ffi::TensorView y) {
    long n = x.size(0);
    auto stream = static_cast<cudaStream_t>(
        TVMFFIEnvGetStream(x.device().device_type, x.device().device_id));
    double_it<<<(n + 255) / 256, 256, 0, stream>>>(
        static_cast<const float*>(x.data_ptr()), static_cast<float*>(y.data_ptr()), n);
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""
)
TORCH = (
    "#include <torch/extension.h>\n#include <c10/cuda/CUDAStream.h>\n"
    + DEVICE_CODE
    + """
void run(torch::Tensor x, torch::Tensor y) {
    long n = x.numel();
    double_it<<<(n + 255) / 256, 256, 0, c10::cuda::getCurrentCUDAStream()>>>(
        x.data_ptr<float>(), y.data_ptr<float>(), n);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
)
NVRTC = f"""
import torch
KERNEL = torch.cuda._compile_kernel('''extern "C" {DEVICE_CODE}''', "double_it")

def run(x, y):
    n = x.numel()
    KERNEL(((n + 255) // 256, 1, 1), (256, 1, 1), (x, y, n))
"""
TRITON = """
import triton
import triton.language as tl

@triton.jit
def double_it(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, 2 * tl.load(x + at, mask=at < n), mask=at < n)

def run(x, y):
    double_it[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
"""
LANGUAGES = {
    "triton": ("triton", None, "main.py", TRITON),
    "nvrtc": ("python", None, "main.py", NVRTC),
    "tvm-ffi": ("cuda", "tvm-ffi", "main.cu", TVM_FFI),
    "torch": ("cuda", "torch", "main.cu", TORCH),
}


def solution(name: str, source: str | None = None) -> Solution:
    language, binding, file, text = LANGUAGES[name]
    return Solution.model_validate(
        {
            "name": name,
            "definition": "double",
            "author": "test",
            "spec": {
                "language": language,
                "binding": binding,
                "target_hardware": ["cuda"],
                "entry_point": f"{file}::run",
            },
            "sources": [{"path": file, "content": source or text}],
        }
    )


def operator() -> Operator:
    definition = Definition.model_validate(
        {
            "name": "double",
            "op_type": "test",
            "axes": {"n": {"type": "var"}},
            "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
            "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
            "reference": "def run(x):\n    return x * 2\n",
        }
    )
    workloads = tuple(
        Workload.model_validate(
            {"uuid": f"w{n}", "axes": {"n": n}, "inputs": {"x": {"type": "random"}}}
        )
        for n in (1000, 100_000)
    )
    return Operator(definition=definition, workloads=workloads)


@pytest.fixture(scope="module")
def harness(tmp_path_factory, loop):
    settings = load_settings({"data_dir": str(tmp_path_factory.mktemp("languages"))})
    made = Harness(settings, Dataset(operators={"double": operator()}, problems=()))
    yield made
    loop.run_until_complete(made.aclose())


def judged(harness, loop, candidate, **choices):
    choices = {"scope": "full", "force": True} | choices
    request = harness.lookup.evaluation_request(solution=candidate, **choices)
    return loop.run_until_complete(harness.evaluations.evaluate(request)).evaluation


@pytest.mark.parametrize("name", LANGUAGES)
def test_an_honest_candidate_passes_and_is_timed(harness, loop, name, capsys):
    first = judged(harness, loop, solution(name))
    again = judged(harness, loop, solution(name), scope="sample")
    with capsys.disabled():
        for evaluation in (first, again):
            seconds = evaluation.evidence.seconds
            print(f"\n{name} {evaluation.scope}: {seconds}")  # noqa: T201
    assert first.failure is None and first.status is Status.PASSED
    assert again.status is Status.PASSED
    assert all(w.latency_us and w.latency_us < 100 for w in again.workloads)
    assert again.evidence.timer == "cupti"


@pytest.mark.parametrize("name", ["tvm-ffi", "torch"])
def test_a_compilers_words_come_back(harness, loop, name):
    broken = LANGUAGES[name][3].replace("y[i] = 2.0f * x[i];", "y[i] = 2.0f * nothing[i];")
    evaluation = judged(harness, loop, solution(name, broken))
    assert evaluation.status is Status.COMPILE_ERROR
    assert evaluation.failure is not None and "nothing" in (evaluation.failure.excerpt or "")


def test_an_illegal_address_is_the_candidates_and_the_next_call_works(harness, loop):
    wild = LANGUAGES["triton"][3].replace("tl.store(y + at,", "tl.store(y + at + (1 << 40),")
    evaluation = judged(harness, loop, solution("triton", wild))
    assert evaluation.status in (Status.RUNTIME_ERROR, Status.INTEGRITY_VIOLATION)
    assert judged(harness, loop, solution("triton")).status is Status.PASSED
