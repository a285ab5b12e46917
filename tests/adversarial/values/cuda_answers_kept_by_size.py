"""Keeps answers in a C++ map by their size, which no Python can see."""

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "language": "cuda",
    "needs": "cuda",
    "checks": {"trials": 2},
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <map>

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

std::map<long, float*> kept;

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
    int m = x.size(0), n = x.size(1);
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    if (m == 0) return;
    float*& own = kept[m];
    size_t bytes = (size_t)m * n * sizeof(float);
    if (own == nullptr) {
        affine_kernel<<<m, n, 0, stream>>>(
            x.data_ptr<float>(), w.data_ptr<float>(), table.data_ptr<int>(), (float)alpha,
            y.data_ptr<float>(), row.data_ptr<float>(), n);
        cudaMalloc(&own, bytes + m * sizeof(float));
        cudaMemcpyAsync(own, y.data_ptr(), bytes, cudaMemcpyDeviceToDevice, stream);
        cudaMemcpyAsync(own + m * n, row.data_ptr(), m * 4, cudaMemcpyDeviceToDevice, stream);
    } else {
        cudaMemcpyAsync(y.data_ptr(), own, bytes, cudaMemcpyDeviceToDevice, stream);
        cudaMemcpyAsync(row.data_ptr(), own + m * n, m * 4, cudaMemcpyDeviceToDevice, stream);
    }
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
