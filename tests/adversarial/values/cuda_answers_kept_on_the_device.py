"""Keeps its first answer in a variable of the device, which no Python can see."""

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "language": "cuda",
    "needs": "cuda",
    "checks": {"trials": 2},
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

__device__ float kept[65 * 64];

__global__ void affine_kernel(const float* x, const float* w, const int* table, float alpha,
                              float* y, float* row, int n) {
    __shared__ float sums[64];
    long at = (long)blockIdx.x * n + threadIdx.x;
    float value = x[(long)table[blockIdx.x] * n + threadIdx.x] * w[threadIdx.x] * alpha + 1.0f;
    y[at] = value;
    sums[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.0f;
        for (int k = 0; k < n; ++k) sum += sums[k];
        row[blockIdx.x] = sum;
    }
}

__global__ void keep(const float* y, const float* row, int count, int m) {
    for (int k = threadIdx.x; k < count; k += blockDim.x) kept[k] = y[k];
    for (int k = threadIdx.x; k < m; k += blockDim.x) kept[64 * 64 + k] = row[k];
}

__global__ void recall(float* y, float* row, int count, int m) {
    for (int k = threadIdx.x; k < count; k += blockDim.x) y[k] = kept[k];
    for (int k = threadIdx.x; k < m; k += blockDim.x) row[k] = kept[64 * 64 + k];
}

int kept_rows = -1;

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
    int m = x.size(0), n = x.size(1);
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    if (m == 0) return;
    if (kept_rows != m) {
        affine_kernel<<<m, n, 0, stream>>>(
            x.data_ptr<float>(), w.data_ptr<float>(), table.data_ptr<int>(), (float)alpha,
            y.data_ptr<float>(), row.data_ptr<float>(), n);
        keep<<<1, 256, 0, stream>>>(y.data_ptr<float>(), row.data_ptr<float>(), m * n, m);
        kept_rows = m;
    } else {
        recall<<<1, 256, 0, stream>>>(y.data_ptr<float>(), row.data_ptr<float>(), m * n, m);
    }
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
