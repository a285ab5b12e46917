"""One gated delta step in CUDA C++: rows and warps by batch, plain stores."""

import functools
import math
import struct

import torch

SOURCE = r"""
__device__ __forceinline__ float4 load(const float* p) {
    float4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p));
    return v;
}
__device__ __forceinline__ void store(float* p, float4 v) { *(float4*)p = v; }

__device__ __forceinline__ unsigned short to_bf16(float x) {
    unsigned short h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}
__device__ __forceinline__ float low(unsigned x) { return __uint_as_float(x << 16); }
__device__ __forceinline__ float high(unsigned x) { return __uint_as_float(x & 0xffff0000u); }
__device__ __forceinline__ float one(unsigned short x) { return __uint_as_float((unsigned)x << 16); }

// log(1 + exp(x)); the series where 1 + u would round u away.
__device__ __forceinline__ float softplus(float x) {
    float u = __expf(fminf(x, 20.0f));
    float few = u * (1.0f - u * (0.5f - u * (0.33333333f - 0.25f * u)));
    float many = __logf(1.0f + u);
    return x > 20.0f ? x : (u < 0.015625f ? few : many);
}

// A warp takes ROWS rows of the state at a time, a lane 4 columns of each. The 2 * ROWS sums of a
// warp are folded together: each halving of the sums halves the lanes that hold one.
#define SPAN (16 / ROWS)  /* neighbouring lanes that end with the same sum */
#define TILE (ROWS * STEPS * WARPS)

extern "C" __global__ void __launch_bounds__(WARPS * 32) gated_delta_step(
    const unsigned short* __restrict__ q, const unsigned short* __restrict__ k,
    const unsigned short* __restrict__ v, const float* __restrict__ state,
    const float* __restrict__ A_log, const unsigned short* __restrict__ a,
    const float* __restrict__ dt_bias, const unsigned short* __restrict__ b,
    unsigned short* __restrict__ output, float* __restrict__ new_state, int scale_bits) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int head = blockIdx.y;
    const long long batch = blockIdx.z;
    const long long bh = batch * 8 + head;
    const long long row0 = bh * 128 + blockIdx.x * TILE + warp * (ROWS * STEPS);
    float4 s[STEPS][ROWS];
#pragma unroll
    for (int t = 0; t < STEPS; ++t)
#pragma unroll
        for (int r = 0; r < ROWS; ++r) s[t][r] = load(state + (row0 + t * ROWS + r) * 128 + lane * 4);
    const long long vec = (batch * 4 + (head >> 1)) * 128 + lane * 4;
    const uint2 x2 = *(const uint2*)(k + vec), y2 = *(const uint2*)(q + vec);
    const float4 kk = make_float4(low(x2.x), high(x2.x), low(x2.y), high(x2.y));
    const float4 qq = make_float4(low(y2.x), high(y2.x), low(y2.y), high(y2.y));
    const int mine = (lane / SPAN) & (ROWS - 1);
    float value[STEPS];
#pragma unroll
    for (int t = 0; t < STEPS; ++t) value[t] = one(v[row0 + t * ROWS + mine]);
    const float rate = __expf(A_log[head]) * softplus(one(a[bh]) + dt_bias[head]);
    const float decay = __expf(-rate);
    const float beta = __fdividef(1.0f, 1.0f + __expf(-one(b[bh])));
    float overlap = kk.x * qq.x + kk.y * qq.y + kk.z * qq.z + kk.w * qq.w;
#pragma unroll
    for (int step = 16; step; step >>= 1) overlap += __shfl_xor_sync(0xffffffffu, overlap, step);

#pragma unroll
    for (int t = 0; t < STEPS; ++t) {
        float sums[2 * ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const float4 x = s[t][r];
            sums[r] = x.x * kk.x + x.y * kk.y + x.z * kk.z + x.w * kk.w;
            sums[ROWS + r] = x.x * qq.x + x.y * qq.y + x.z * qq.z + x.w * qq.w;
        }
#pragma unroll
        for (int half = ROWS; half; half >>= 1) {
            const int step = half * SPAN;
            const bool upper = (lane & step) != 0;
#pragma unroll
            for (int i = 0; i < half; ++i) {
                const float keep = upper ? sums[i + half] : sums[i];
                const float send = upper ? sums[i] : sums[i + half];
                sums[i] = keep + __shfl_xor_sync(0xffffffffu, send, step);
            }
        }
        float sum = sums[0];
#pragma unroll
        for (int step = SPAN / 2; step; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        // Lanes 0-15 hold S k of row `mine`, lanes 16-31 S q of it.
        const float other = __shfl_xor_sync(0xffffffffu, sum, 16);
        const float recalled = lane < 16 ? sum : other, answered = lane < 16 ? other : sum;
        const float delta = beta * (value[t] - decay * recalled);
        if ((lane & (16 | (SPAN - 1))) == 0)
            output[row0 + t * ROWS + mine] =
                to_bf16(__int_as_float(scale_bits) * (decay * answered + overlap * delta));
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const float d = __shfl_sync(0xffffffffu, delta, r * SPAN);
            float4 x = s[t][r];
            x.x = decay * x.x + d * kk.x;
            x.y = decay * x.y + d * kk.y;
            x.z = decay * x.z + d * kk.z;
            x.w = decay * x.w + d * kk.w;
            store(new_state + (row0 + t * ROWS + r) * 128 + lane * 4, x);
        }
    }
}
"""

HEADS, SIZE = 8, 128
REGIMES = (
    (2, 4, 1, 1),
    (5, 2, 1, 4),
    (12, 1, 1, 8),
    (23, 4, 1, 2),
    (None, 8, 1, 1),
)
"""Largest batch of each regime; rows of the state a warp takes at a time, how often, warps a block."""


@functools.cache
def _kernel(rows, steps, warps):
    """The compiled kernel for one set of constants."""
    words = f"#define ROWS {rows}\n#define STEPS {steps}\n#define WARPS {warps}\n"
    return torch.cuda._compile_kernel(words + SOURCE, "gated_delta_step")


def run(q, k, v, state, A_log, a, dt_bias, b, scale, output, new_state):
    """Writes output and new_state; every tensor is contiguous."""
    batch = q.shape[0]
    if batch == 0:
        return
    _, rows, steps, warps = next(r for r in REGIMES if r[0] is None or batch <= r[0])
    tile = rows * steps * warps
    factor = struct.unpack("i", struct.pack("f", scale or 1.0 / math.sqrt(SIZE)))[0]
    arguments = [q, k, v, state, A_log, a, dt_bias, b, output, new_state, factor]
    _kernel(rows, steps, warps)((SIZE // tile, HEADS, batch), (32 * warps, 1, 1), arguments)
