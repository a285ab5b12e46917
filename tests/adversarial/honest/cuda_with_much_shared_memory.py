"""Takes more shared memory than is given unasked, and writes all of it before it reads any."""

import torch

EXPECT = {"status": "PASSED", "needs": "cuda", "checks": {"trials": 2, "determinism_runs": 4}}

SOURCE = r"""
extern "C" __global__ void affine_kernel(const float* x, const float* w, const int* table,
                                         const float* alpha, float* y, float* row, int n) {
    extern __shared__ float line[];
    const float* from = x + (long long)table[blockIdx.x] * n;
    for (int k = threadIdx.x; k < n * 256; k += blockDim.x) line[k] = 0.0f;
    __syncthreads();
    for (int k = threadIdx.x; k < n; k += blockDim.x) {
        line[k * 256] = from[k] * w[k] * alpha[0] + 1.0f;
        y[(long long)blockIdx.x * n + k] = line[k * 256];
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.0f;
        for (int k = 0; k < n; ++k) sum += line[k * 256];
        row[blockIdx.x] = sum;
    }
}
"""
BYTES = 4 * 64 * 256
KERNEL = torch.cuda._compile_kernel(SOURCE, "affine_kernel")
KERNEL.set_shared_memory_config(BYTES)


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        scale = torch.full((1,), alpha, device=x.device)
        KERNEL((m, 1, 1), (128, 1, 1), [x, w, table, scale, y, row, n], shared_mem=BYTES)
