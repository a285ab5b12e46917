"""Compiles a kernel of its own with NVRTC and launches it on the caller's stream."""

import torch

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "checks": {"trials": 2, "determinism_runs": 4, "timed": True, "pairs_per_block": 4},
}

SOURCE = r"""
extern "C" __global__ void affine_kernel(const float* x, const float* w, const int* table,
                                         const float* alpha, float* y, float* row, int n) {
    __shared__ float sums[32];
    float sum = 0.0f;
    const float* from = x + (long long)table[blockIdx.x] * n;
    for (int k = threadIdx.x; k < n; k += blockDim.x) {
        float value = from[k] * w[k] * alpha[0] + 1.0f;
        y[(long long)blockIdx.x * n + k] = value;
        sum += value;
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int k = 1; k < 32; ++k) sum += sums[k];
        row[blockIdx.x] = sum;
    }
}
"""
KERNEL = torch.cuda._compile_kernel(SOURCE, "affine_kernel")


def run(x, w, table, alpha, y, row):
    m, n = x.shape
    if m:
        scale = torch.full((1,), alpha, device=x.device)
        KERNEL((m, 1, 1), (32, 1, 1), [x, w, table, scale, y, row, n])
