"""Launches one block more than there are rows."""

EXPECT = {
    "status": "RUNTIME_ERROR",
    "claim": "writes_stay_inside",
    "language": "cuda",
    "needs": "cuda",
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

__global__ void affine_kernel(const float* x, const float* w, const int* table, float alpha,
                              float* y, float* row, int n, int rows) {
    __shared__ float sums[64];
    long at = (long)blockIdx.x * n + threadIdx.x;
    long from = (long)table[blockIdx.x % rows] * n + threadIdx.x;
    float value = x[from] * w[threadIdx.x] * alpha + 1.0f;
    y[at] = value;
    sums[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.0f;
        for (int k = 0; k < n; ++k) sum += sums[k];
        row[blockIdx.x] = sum;
    }
}

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
    int m = x.size(0), n = x.size(1);
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    if (m > 0)
        affine_kernel<<<m + 1, n, 0, stream>>>(
        x.data_ptr<float>(), w.data_ptr<float>(), table.data_ptr<int>(), (float)alpha,
        y.data_ptr<float>(), row.data_ptr<float>(), n, m);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
