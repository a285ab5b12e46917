"""Prints from the device where a row is not there, which is never."""

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": True,
    "language": "cuda",
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <cstdio>

__global__ void affine_rows(const float* x, const float* w, const int* table, float alpha, float* y,
                            float* row, int m) {
    int at = blockIdx.x * 4 + threadIdx.y;
    if (at >= m) return;
    if (table[at] < 0 || table[at] >= m) {
        printf("row %d of the table is %d\n", at, table[at]);
        return;
    }
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

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
    int m = x.size(0);
    if (m == 0) return;
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    affine_rows<<<(m + 3) / 4, dim3(32, 4), 0, stream>>>(
        x.data_ptr<float>(), w.data_ptr<float>(), table.data_ptr<int>(), (float)alpha,
        y.data_ptr<float>(), row.data_ptr<float>(), m);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
