"""Launches a graph whose kernel stands under a condition."""

EXPECT = {
    "status": "PARTIAL",
    "needs": "cuda",
    "sealed": False,
    "reason": "no device activity in the call",
    "language": "cuda",
}

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>

__global__ void affine_rows(const float* x, const float* w, const int* table, float alpha, float* y,
                            float* row, int m) {
    int at = blockIdx.x * 4 + threadIdx.y;
    if (at >= m) return;
    const float* from = x + (long)table[at] * 64;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < 64; k += 32) {
        float value = from[k] * w[k] * alpha + 1.0f;
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
    cudaGraph_t graph;
    cudaGraphCreate(&graph, 0);
    cudaGraphConditionalHandle taken;
    cudaGraphConditionalHandleCreate(&taken, graph, 1, cudaGraphCondAssignDefault);
    cudaGraphNodeParams condition = {};
    condition.type = cudaGraphNodeTypeConditional;
    condition.conditional.handle = taken;
    condition.conditional.type = cudaGraphCondTypeIf;
    condition.conditional.size = 1;
    cudaGraphNode_t node;
    cudaGraphAddNode(&node, graph, nullptr, nullptr, 0, &condition);
    const float *from = x.data_ptr<float>(), *weights = w.data_ptr<float>();
    const int* rows = table.data_ptr<int>();
    float scale = (float)alpha, *to = y.data_ptr<float>(), *sums = row.data_ptr<float>();
    void* arguments[] = {&from, &weights, &rows, &scale, &to, &sums, &m};
    cudaKernelNodeParams kernel = {};
    kernel.func = (void*)affine_rows;
    kernel.gridDim = dim3((m + 3) / 4);
    kernel.blockDim = dim3(32, 4);
    kernel.kernelParams = arguments;
    cudaGraphAddKernelNode(&node, condition.conditional.phGraph_out[0], nullptr, 0, &kernel);
    cudaGraphExec_t made;
    cudaGraphInstantiate(&made, graph, 0);
    cudaGraphLaunch(made, stream);
    cudaGraphExecDestroy(made);
    cudaGraphDestroy(graph);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
