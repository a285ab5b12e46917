"""Counts calls in a variable of its module and skips blocks after the first few."""

import torch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_short",
    "gain": "half of the work",
    "refused": ["claimed", "INCORRECT_NUMERICAL"],
    "parts": [],
}

SOURCE = r"""
__device__ int calls = 0;

extern "C" __global__ void affine_rows(const float* x, const float* w, const int* table,
                                       const float* alpha, float* y, float* row, int m) {
    int at = blockIdx.x;
    if (at == 0 && threadIdx.x == 0) atomicAdd(&calls, 1);
    if (calls > 2 && at % 2) return;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < 64; k += 32) {
        float value = x[(long long)table[at] * 64 + k] * w[k] * alpha[0] + 1.0f;
        y[(long long)at * 64 + k] = value;
        sum += value;
    }
    for (int step = 16; step; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
    if (threadIdx.x == 0) row[at] = sum;
}
"""
_kept = []


def run(x, w, table, alpha, y, row):
    if not _kept:
        _kept.append(torch.cuda._compile_kernel(SOURCE, "affine_rows"))
    m = x.shape[0]
    if m:
        scale = torch.full((1,), alpha, device=x.device)
        _kept[0]((m, 1, 1), (32, 1, 1), [x, w, table, scale, y, row, m])
