"""Launches clusters of two blocks, which add their sums through shared memory."""

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": True,
    "language": "cuda",
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

__global__ void affine_halves(const float* x, const float* w, const int* table,
                             float alpha, float* y, float* row, int m) {
    auto cluster = cg::this_cluster();
    __shared__ float sums[4];
    int at = blockIdx.x / 2 * 4 + threadIdx.y;
    int k = cluster.block_rank() * 32 + threadIdx.x;
    float value = 0.0f;
    if (at < m) {
        value = x[(long)table[at] * 64 + k] * w[k] * alpha + 1.0f;
        y[(long)at * 64 + k] = value;
    }
    for (int step = 16; step; step /= 2) value += __shfl_down_sync(~0u, value, step);
    if (threadIdx.x == 0) sums[threadIdx.y] = value;
    cluster.sync();
    if (cluster.block_rank() == 0 && threadIdx.x == 0 && at < m)
        row[at] = value + *cluster.map_shared_rank(&sums[threadIdx.y], 1);
    cluster.sync();
}

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
    int m = x.size(0);
    if (m == 0) return;
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    cudaLaunchAttribute attribute;
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {2, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((m + 3) / 4 * 2);
    config.blockDim = dim3(32, 4);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    const float *from = x.data_ptr<float>(), *weights = w.data_ptr<float>();
    const int* rows = table.data_ptr<int>();
    cudaLaunchKernelEx(&config, affine_halves, from, weights, rows, (float)alpha,
                       y.data_ptr<float>(), row.data_ptr<float>(), m);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
