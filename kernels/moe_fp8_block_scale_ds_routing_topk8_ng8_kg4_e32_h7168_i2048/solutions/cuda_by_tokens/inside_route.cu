// Chooses each token's experts, lists the tokens of local experts, and adds up what they answer.
#include <cuda_runtime.h>

#include "choose.cuh"

namespace inside {
constexpr int kRouters = 32;  // warps, of a token each

// Each block routes 32 tokens; the order in a list is left to chance, and nothing that is computed
// depends on it.
__global__ void __launch_bounds__(kRouters * 32) route(const Inputs in) {
    __shared__ int held[kLocal], begin[kLocal];
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    launch_dependents();
    if (threadIdx.x < kLocal) held[threadIdx.x] = begin[threadIdx.x] = 0;
    __syncthreads();
    const int token = blockIdx.x * kRouters + warp;
    int expert = -1, local = -1, place = 0;
    float share = 0.0f;
    bool here = false;
    if (token < in.tokens) {
        choose(in, token, expert, share);
        local = expert - in.offset;
        here = lane < kTop && local >= 0 && local < kLocal;
        if (here) place = atomicAdd(&held[local], 1);
    }
    __syncthreads();
    if (threadIdx.x < kLocal && held[threadIdx.x])
        begin[threadIdx.x] = atomicAdd(&in.counts[threadIdx.x], held[threadIdx.x]);
    __syncthreads();
    if (token < in.tokens && lane < kTop) {
        if (here) place += begin[local];
        in.places[token * kTop + lane] = here ? local << 20 | place : -1;
        in.shares[token * kTop + lane] = share;
        if (here) in.list[static_cast<size_t>(local) * in.tokens + place] = token;
    }
}

int launch_route(const Inputs& in, void* stream) {
    const int blocks = (in.tokens + kRouters - 1) / kRouters;
    route<<<blocks, kRouters * 32, 0, static_cast<cudaStream_t>(stream)>>>(in);
    return cudaGetLastError();
}

constexpr int kAdders = 224;  // threads, of eight columns each

// Blocks take quarters of the rows of tokens that have several.
__global__ void __launch_bounds__(kAdders) combine_several(const Inputs in) {
    wait_for_primary();
    constexpr int PIECES = 4;
    const int pieces = load_now(in.counts + kLocal) * PIECES;
    for (int i = blockIdx.x; i < pieces; i += gridDim.x) {
        const int token = in.several[i / PIECES];
        const int column = (i % PIECES * kAdders + threadIdx.x) * 8;
        const int4* rows4 = reinterpret_cast<const int4*>(in.token_rows + token * kTop);
        const float4* shares4 = reinterpret_cast<const float4*>(in.shares + token * kTop);
        const int4 r0 = rows4[0], r1 = rows4[1];
        const float4 s0 = shares4[0], s1 = shares4[1];
        const int rows[kTop] = {r0.x, r0.y, r0.z, r0.w, r1.x, r1.y, r1.z, r1.w};
        const float shares[kTop] = {s0.x, s0.y, s0.z, s0.w, s1.x, s1.y, s1.z, s1.w};
        float sum[8] = {};
#pragma unroll
        for (int k = 0; k < kTop; ++k) {
            if (rows[k] < 0) continue;
            const uint4 v = *reinterpret_cast<const uint4*>(in.parts + static_cast<size_t>(rows[k]) * kHidden + column);
            const unsigned two[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                sum[2 * j] = fmaf(shares[k], __uint_as_float(two[j] << 16), sum[2 * j]);
                sum[2 * j + 1] = fmaf(shares[k], __uint_as_float(two[j] & 0xffff0000u), sum[2 * j + 1]);
            }
        }
        uint4 packed;
        packed.x = two_bf16(sum[0], sum[1]), packed.y = two_bf16(sum[2], sum[3]);
        packed.z = two_bf16(sum[4], sum[5]), packed.w = two_bf16(sum[6], sum[7]);
        *reinterpret_cast<uint4*>(in.output + static_cast<size_t>(token) * kHidden + column) = packed;
    }
}

int launch_combine(const Inputs& in, void* stream) {
    int device = 0, processors = 0;
    if (cudaError_t error = cudaGetDevice(&device)) return error;
    if (cudaError_t error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))
        return error;
    return launch_early(combine_several, dim3(processors * 9), kAdders, 0, stream, in);
}
}  // namespace inside
