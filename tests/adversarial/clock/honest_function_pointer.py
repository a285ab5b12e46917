"""Calls what a pointer in device memory leads to, which the host put there once."""

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": True,
    "language": "cuda",
    "or_claimed": True,
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

typedef float (*Step)(float, float, float);

__device__ __noinline__ float affine(float value, float weight, float alpha) {
    return value * weight * alpha + 1.0f;
}
__device__ __noinline__ float plain(float value, float, float) { return value; }
__device__ Step steps[2] = {plain, affine};

__global__ void affine_rows(const Step* step, const float* x, const float* w, const int* table,
                            float alpha, float* y, float* row, int m) {
    int at = blockIdx.x * 4 + threadIdx.y;
    if (at >= m) return;
    const float* from = x + (long)table[at] * 64;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < 64; k += 32) {
        float value = (*step)(from[k], w[k], alpha);
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
    static Step* chosen = nullptr;
    if (!chosen) {
        cudaMalloc(&chosen, sizeof(Step));
        Step step;
        cudaMemcpyFromSymbol(&step, steps, sizeof step, sizeof step);
        cudaMemcpy(chosen, &step, sizeof step, cudaMemcpyHostToDevice);
    }
    affine_rows<<<(m + 3) / 4, dim3(32, 4), 0, stream>>>(
        chosen, x.data_ptr<float>(), w.data_ptr<float>(), table.data_ptr<int>(), (float)alpha,
        y.data_ptr<float>(), row.data_ptr<float>(), m);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
