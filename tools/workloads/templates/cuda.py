"""Templates of CUDA C++: kernels, how they are launched, and what is called."""

from __future__ import annotations

from dataclasses import replace

from ...schema.flashinfer_trace import Definition
from .arguments import PLAIN_TYPES, Argument, arguments_of, constants_of, sizes_of

_HEADERS = """#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
"""
_LAUNCH = """\
// Launches a kernel on a stream. With `dependent` it begins while the kernel before it still runs,
// and may read what that one writes after its own cudaGridDependencySynchronize().
template <typename... Expected, typename... Given>
static cudaError_t launch(void (*kernel)(Expected...), dim3 grid, dim3 block, size_t shared_bytes,
                          cudaStream_t stream, bool dependent, Given... given) {
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = dependent ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, static_cast<Expected>(given)...);
}
"""


def _kernels(definition: Definition) -> str:
    parameters = _parameters(definition)
    described = "\n".join(f"// {a.words}" for a in arguments_of(definition))
    return f"""{described}
// Write the kernels here: these two write nothing.
__global__ void __launch_bounds__(256) first_step({parameters}) {{
    const long long at = blockIdx.x * 256ll + threadIdx.x;
    if (at >= count) return;
#if __CUDA_ARCH__ >= 900
    cudaTriggerProgrammaticLaunchCompletion();
#endif
}}

__global__ void __launch_bounds__(256) second_step({parameters}) {{
#if __CUDA_ARCH__ >= 900
    cudaGridDependencySynchronize();
#endif
    const long long at = blockIdx.x * 256ll + threadIdx.x;
    if (at >= count) return;
}}
"""


def _parameters(definition: Definition) -> str:
    sizes = [f"long long {size.axis}" for size in sizes_of(definition)]
    return ", ".join([*(a.parameter for a in arguments_of(definition)), *sizes, "long long count"])


def _constants(definition: Definition) -> str:
    values = [f"{name} = {value}" for name, value in constants_of(definition).items()]
    return f"enum Sizes : int {{ {', '.join(values)} }};\n" if values else ""


def _first_output(definition: Definition) -> Argument:
    return next(a for a in arguments_of(definition) if a.output)


def _launches(definition: Definition, passed: list[str], failed: str) -> str:
    given = ", ".join([*passed, *(size.axis for size in sizes_of(definition)), "count"])
    return f"""    if (count == 0) return{failed};
    const dim3 grid(static_cast<unsigned>((count + 255) / 256)), block(256);
    cudaError_t error = launch(first_step, grid, block, 0, stream, false, {given});
    if (error == cudaSuccess)
        error = launch(second_step, grid, block, 0, stream, true, {given});
"""


def torch_sources(definition: Definition) -> dict[str, str]:
    """Kernels in a .cu file, and a .cpp file that torch binds: quick to compile, each by itself."""
    arguments, first = arguments_of(definition), _first_output(definition)
    sizes = sizes_of(definition)
    plain = [
        f"{'' if a.output else 'const '}void* {a.name}" if a.axes is not None else a.parameter
        for a in arguments
    ]
    signature = ", ".join([*plain, *(f"long long {s.axis}" for s in sizes), "long long count"])
    cast = [
        f"static_cast<{'' if a.output else 'const '}{a.c_type}*>({a.name})"
        if a.axes is not None
        else a.name
        for a in arguments
    ]
    header = f"""\
// What the binding calls: no type of torch's and none of CUDA's, so that files build quickly.
#pragma once

// Enqueues a call on a stream; returns a cudaError_t.
int enqueue({signature}, void* on_stream);
"""
    kernel = f"""{_HEADERS}
#include "kernel.h"

{_constants(definition)}
{_kernels(definition)}
{_LAUNCH}
int enqueue({signature}, void* on_stream) {{
    const cudaStream_t stream = static_cast<cudaStream_t>(on_stream);
{_launches(definition, cast, " cudaSuccess")}    return error;
}}
"""
    taken = [
        f"torch::Tensor {a.name}" if a.axes is not None else f"{_host_scalar(a)} {a.name}"
        for a in arguments
    ]
    handed = [f"{a.name}.data_ptr()" if a.axes is not None else a.name for a in arguments]
    handed += [f"{s.tensor}.size({s.dimension})" for s in sizes]
    binding = f"""#include <c10/cuda/CUDAStream.h>
#include <torch/extension.h>

#include "kernel.h"

void run({", ".join(taken)}) {{
    const int error = enqueue({", ".join([*handed, f"{first.name}.numel()"])},
                              c10::cuda::getCurrentCUDAStream().stream());
    TORCH_CHECK(error == 0, "a launch failed with CUDA error ", error);
}}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{ m.def("run", &run); }}
"""
    return {"binding.cpp": binding, "kernel.cu": kernel, "kernel.h": header}


def _host_scalar(argument: Argument) -> str:
    """The type in which host code is given a scalar."""
    if argument.c_type == "bool":
        return "bool"
    real = argument.c_type in ("double", "float", "__half", "__nv_bfloat16")
    return "double" if real else "int64_t"


def tvm_ffi_sources(definition: Definition) -> dict[str, str]:
    """One .cu file that tvm-ffi exports from; the stream is the caller's."""
    arguments, first = arguments_of(definition), _first_output(definition)
    taken = [
        f"ffi::TensorView {a.name}" if a.axes is not None else f"{_host_scalar(a)} {a.name}"
        for a in arguments
    ]
    cast = [
        f"static_cast<{'' if a.output else 'const '}{a.c_type}*>({a.name}.data_ptr())"
        if a.axes is not None
        else a.name
        for a in arguments
    ]
    sizes = "\n".join(
        f"    const long long {s.axis} = {s.tensor}.size({s.dimension});"
        for s in sizes_of(definition)
    )
    source = f"""{_HEADERS}#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/error.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

namespace ffi = tvm::ffi;

{_constants(definition)}
{_kernels(definition)}
{_LAUNCH}
void run({", ".join(taken)}) {{
    const auto device = {first.name}.device();
    const auto stream =
        static_cast<cudaStream_t>(TVMFFIEnvGetStream(device.device_type, device.device_id));
{sizes}
    const long long count = {first.name}.numel();
{_launches(definition, cast, "")}    if (error != cudaSuccess)
        TVM_FFI_THROW(RuntimeError) << "a launch failed: " << cudaGetErrorString(error);
}}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""
    return {"kernel.cu": source}


def nvrtc_sources(definition: Definition) -> dict[str, str]:
    """Python that has torch compile a kernel by NVRTC: seconds less than nvcc, and no headers."""
    arguments, first = arguments_of(definition), _first_output(definition)
    sizes = sizes_of(definition)
    # Torch hands whole numbers over as int, and others as double.
    kinds = {"double": "double", "bool": "int", "int64_t": "int"}
    plain = [
        replace(a, c_type=PLAIN_TYPES.get(a.c_type, a.c_type))
        if a.axes is not None
        else replace(a, c_type=kinds[_host_scalar(a)])
        for a in arguments
    ]
    numbers = [f"int {name}" for name in [*(s.axis for s in sizes), "count"]]
    parameters = ", ".join([*(a.parameter for a in plain), *numbers])
    described = "\n".join(f"// {a.words}" for a in arguments)
    read = "\n".join(f"    {s.axis} = {s.tensor}.shape[{s.dimension}]" for s in sizes)
    passed = [*(a.name for a in arguments), *(s.axis for s in sizes), "count"]
    constants = "\n".join(f"#define {n} {v}" for n, v in constants_of(definition).items())
    return {
        "kernel.py": f'''"""{definition.name} in CUDA C++, compiled by NVRTC at the first call."""

import functools

import torch

SOURCE = r"""
{constants}
{described}
// bfloat16, float16 and float8 come as their bits. Write the kernel here: this one writes nothing.
extern "C" __global__ void __launch_bounds__(256) step({parameters}) {{
    const long long at = blockIdx.x * 256ll + threadIdx.x;
    if (at >= count) return;
}}
"""


@functools.cache
def _kernel(name):
    """The compiled kernel of this name; further ones may stand in the same source."""
    return torch.cuda._compile_kernel(SOURCE, name)


def run({", ".join(a.name for a in arguments)}):
{read or "    # no size varies"}
    count = {first.name}.numel()
    if count:
        grid, block = (-(-count // 256), 1, 1), (256, 1, 1)
        _kernel("step")(grid, block, [{", ".join(passed)}])
'''
    }
