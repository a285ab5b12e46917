"""Launches a kernel that waits for a flag that nobody sets, as one with a wrong barrier does."""

EXPECT = {"status": "TIMEOUT", "language": "cuda", "needs": "cuda", "plan": {"call_timeout_s": 2.0}}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

__global__ void wait_for(const volatile int* flag) {
    while (*flag >= 0) {}
}

void run(torch::Tensor x, torch::Tensor w, torch::Tensor table, double alpha, torch::Tensor y,
         torch::Tensor row) {
    cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
    if (table.numel() > 0) wait_for<<<1, 1, 0, stream>>>(table.data_ptr<int>());
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
