"""Copies the weights to an array and reads them through a surface."""

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": False,
    "reason": "is a surface",
    "language": "cuda",
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

__global__ void affine_rows(const float* x, cudaSurfaceObject_t w, const int* table, float alpha,
                            float* y, float* row, int m) {
    int at = blockIdx.x * 4 + threadIdx.y;
    if (at >= m) return;
    const float* from = x + (long)table[at] * 64;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < 64; k += 32) {
        float weight;
        surf1Dread(&weight, w, k * 4);
        float value = from[k] * weight * alpha + 1.0f;
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
    static cudaArray_t weights = nullptr;
    static cudaSurfaceObject_t surface = 0;
    if (!weights) {
        cudaChannelFormatDesc one = cudaCreateChannelDesc<float>();
        cudaMallocArray(&weights, &one, 64, 0, cudaArraySurfaceLoadStore);
        cudaResourceDesc memory = {};
        memory.resType = cudaResourceTypeArray;
        memory.res.array.array = weights;
        cudaCreateSurfaceObject(&surface, &memory);
    }
    cudaMemcpy2DToArrayAsync(weights, 0, 0, w.data_ptr<float>(), 256, 256, 1,
                             cudaMemcpyDeviceToDevice, stream);
    affine_rows<<<(m + 3) / 4, dim3(32, 4), 0, stream>>>(
        x.data_ptr<float>(), surface, table.data_ptr<int>(), (float)alpha, y.data_ptr<float>(),
        row.data_ptr<float>(), m);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
