"""Reads its input through a texture, which belongs to its own process."""

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "sealed": False,
    "reason": "the call cannot be recorded",
    "language": "cuda",
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

__global__ void affine_rows(cudaTextureObject_t x, int begin, const float* w, const int* table,
                            float alpha, float* y, float* row, int m) {
    int at = blockIdx.x * 4 + threadIdx.y;
    if (at >= m) return;
    int from = begin + table[at] * 64;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < 64; k += 32) {
        float value = tex1Dfetch<float>(x, from + k) * w[k] * alpha + 1.0f;
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
    // A texture begins at a multiple of 512 bytes.
    float* aligned = reinterpret_cast<float*>(reinterpret_cast<size_t>(x.data_ptr<float>()) & ~511);
    int begin = x.data_ptr<float>() - aligned;
    cudaResourceDesc memory = {};
    memory.resType = cudaResourceTypeLinear;
    memory.res.linear.devPtr = aligned;
    memory.res.linear.desc = cudaCreateChannelDesc<float>();
    memory.res.linear.sizeInBytes = ((size_t)m * 64 + begin) * sizeof(float);
    cudaTextureDesc reading = {};
    reading.readMode = cudaReadModeElementType;
    cudaTextureObject_t texture = 0;
    cudaCreateTextureObject(&texture, &memory, &reading, nullptr);
    affine_rows<<<(m + 3) / 4, dim3(32, 4), 0, stream>>>(
        texture, begin, w.data_ptr<float>(), table.data_ptr<int>(), (float)alpha,
        y.data_ptr<float>(), row.data_ptr<float>(), m);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
