"""Writes to an address that is no memory, which ends the device's context."""

EXPECT = {"status": "RUNTIME_ERROR", "language": "cuda", "needs": "cuda"}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

__global__ void nowhere(float* y) { y[1L << 45] = 1.0f; }

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
    int m = x.size(0), n = x.size(1);
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    (void)m, (void)n, (void)w, (void)table, (void)alpha, (void)row;
    nowhere<<<1, 1, 0, stream>>>(y.data_ptr<float>());
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
