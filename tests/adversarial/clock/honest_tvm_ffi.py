"""CUDA C++ with the binding of tvm-ffi, on the stream that it is given."""

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": True,
    "language": "cuda",
    "binding": "tvm-ffi",
}

SOURCE = r"""
#include <cuda_runtime.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

namespace ffi = tvm::ffi;

__global__ void affine_rows(const float* x, const float* w, const int* table, float alpha, float* y,
                            float* row, int m) {
    int at = blockIdx.x * 4 + threadIdx.y;
    if (at >= m) return;
    const float* from = x + (long)table[at] * 64;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < 64; k += 32) {
        float value = from[k] * w[k] * alpha + 1.0f;
        y[(long)at * 64 + k] = value;
        sum += value;
    }
    for (int step = 16; step; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
    if (threadIdx.x == 0) row[at] = sum;
}

void run(ffi::TensorView x, ffi::TensorView w, ffi::TensorView table, double alpha,
         ffi::TensorView y, ffi::TensorView row) {
    int m = x.size(0);
    auto stream = static_cast<cudaStream_t>(
        TVMFFIEnvGetStream(x.device().device_type, x.device().device_id));
    if (m > 0)
        affine_rows<<<(m + 3) / 4, dim3(32, 4), 0, stream>>>(
            static_cast<const float*>(x.data_ptr()), static_cast<const float*>(w.data_ptr()),
            static_cast<const int*>(table.data_ptr()), (float)alpha,
            static_cast<float*>(y.data_ptr()), static_cast<float*>(row.data_ptr()), m);
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""
