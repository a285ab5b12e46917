"""CUDA C++ with torch's binding; the weights lie in constant memory, copied there in each call."""

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "language": "cuda"}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

__constant__ float weights[64];
__constant__ float one;

__global__ void affine_rows(const float* x, const int* table, float alpha, float* y, float* row,
                            int m) {
    int at = blockIdx.x * 4 + threadIdx.y;
    if (at >= m) return;
    const float* from = x + (long)table[at] * 64;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < 64; k += 32) {
        float value = from[k] * weights[k] * alpha + one;
        y[(long)at * 64 + k] = value;
        sum += value;
    }
    for (int step = 16; step; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
    if (threadIdx.x == 0) row[at] = sum;
}

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
    static bool started = false;
    const float value = 1.0f;
    if (!started) cudaMemcpyToSymbol(one, &value, sizeof value);
    started = true;
    int m = x.size(0);
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    cudaMemcpyToSymbolAsync(weights, w.data_ptr<float>(), sizeof weights, 0,
                            cudaMemcpyDeviceToDevice, stream);
    if (m > 0)
        affine_rows<<<(m + 3) / 4, dim3(32, 4), 0, stream>>>(
            x.data_ptr<float>(), table.data_ptr<int>(), (float)alpha, y.data_ptr<float>(),
            row.data_ptr<float>(), m);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
