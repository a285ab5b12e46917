// Chooses each token's experts, lists the tokens of local experts, and adds up what they answer.
#include <cuda_runtime.h>

#include "moe.h"
#include "pieces.cuh"

constexpr int kAlone = 128;  // most tokens that one block routes
constexpr int kRouters = 32;  // warps, of a token each

bool needs_zeros(int tokens) { return tokens > kAlone; }

// The order of floats, as integers; 0 is below all of them.
__device__ __forceinline__ unsigned ordered(float x) {
    const unsigned b = __float_as_uint(x);
    return b ^ (static_cast<unsigned>(static_cast<int>(b) >> 31) | 0x80000000u);
}

// A warp's token: lane r < 8 gets the expert chosen in turn r and its share.
__device__ __forceinline__ void choose(const Inputs& in, int token, int& expert, float& share) {
    const int lane = threadIdx.x & 31;
    const float4* logits = reinterpret_cast<const float4*>(in.logits + static_cast<size_t>(token) * kExperts) + lane * 2;
    const float4 l0 = logits[0], l1 = logits[1];
    const uint4 b = reinterpret_cast<const uint4*>(in.bias)[lane];
    float affinity[8] = {l0.x, l0.y, l0.z, l0.w, l1.x, l1.y, l1.z, l1.w};
    const unsigned packed[4] = {b.x, b.y, b.z, b.w};
    unsigned key[8];
    float best = __int_as_float(0xff800000), next = best;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        affinity[i] = 1.0f / (1.0f + expf(-affinity[i]));
        const float bias = __uint_as_float(i & 1 ? packed[i / 2] & 0xffff0000u : packed[i / 2] << 16);
        const float biased = affinity[i] + bias;
        key[i] = ordered(biased);
        next = fmaxf(next, fminf(best, biased));
        best = fmaxf(best, biased);
    }
    // Four lanes hold a group of 32: the sum of its two best.
#pragma unroll
    for (int step = 1; step < 4; step <<= 1) {
        const float other = __shfl_xor_sync(~0u, best, step), its_next = __shfl_xor_sync(~0u, next, step);
        next = fmaxf(fminf(best, other), fmaxf(next, its_next));
        best = fmaxf(best, other);
    }
    const float worth = best + next;
    const int group = lane >> 2;
    int better = 0;
#pragma unroll
    for (int g = 0; g < 8; ++g) {
        const float other = __shfl_sync(~0u, worth, g * 4);
        better += other > worth || (other == worth && g < group);
    }
    if (better >= 4)
#pragma unroll
        for (int i = 0; i < 8; ++i) key[i] = 0;
    float sum = 0.0f;
    expert = -1, share = 0.0f;
#pragma unroll 1
    for (int turn = 0; turn < kTop; ++turn) {
        unsigned mine = 0;
        int at = 0;
        float value = 0.0f;
#pragma unroll
        for (int i = 0; i < 8; ++i)
            if (key[i] > mine) mine = key[i], at = i, value = affinity[i];
        const unsigned most = __reduce_max_sync(~0u, mine);
        const int winner = __ffs(__ballot_sync(~0u, mine == most)) - 1;
        if (lane == winner)
#pragma unroll
            for (int i = 0; i < 8; ++i)
                if (i == at) key[i] = 0;
        const float taken = __shfl_sync(~0u, value, winner);
        const int number = winner * 8 + __shfl_sync(~0u, at, winner);
        sum += taken;
        if (lane == turn) expert = number, share = taken;
    }
    share = share / (sum + 1e-20f) * in.factor;
}

// One block routes all tokens, or each block 32 of them; the order in a list is left to chance,
// and nothing that is computed depends on it.
__global__ void __launch_bounds__(kRouters * 32) route(const Inputs in) {
    __shared__ int held[kLocal], begin[kLocal];
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    launch_dependents();
    if (threadIdx.x < kLocal) held[threadIdx.x] = begin[threadIdx.x] = 0;
    __syncthreads();
    for (int base = blockIdx.x * kRouters; base < in.tokens; base += gridDim.x * kRouters) {
        const int token = base + warp;
        int expert = -1, local = -1, place = 0;
        float share = 0.0f;
        bool here = false;
        if (token < in.tokens) {
            choose(in, token, expert, share);
            local = expert - in.offset;
            here = lane < kTop && local >= 0 && local < kLocal;
            if (here) place = atomicAdd(&held[local], 1);
        }
        if (gridDim.x > 1) {  // then a block has one round
            __syncthreads();
            if (threadIdx.x < kLocal && held[threadIdx.x])
                begin[threadIdx.x] = atomicAdd(&in.counts[threadIdx.x], held[threadIdx.x]);
            __syncthreads();
            if (here) place += begin[local];
        }
        if (token < in.tokens && lane < kTop) {
            in.places[token * kTop + lane] = here ? local << 20 | place : -1;
            in.shares[token * kTop + lane] = share;
            if (here) in.list[static_cast<size_t>(local) * in.tokens + place] = token;
        }
    }
    if (gridDim.x == 1) {
        __syncthreads();
        if (threadIdx.x < kLocal) in.counts[threadIdx.x] = held[threadIdx.x];
    }
}

int launch_route(const Inputs& in, void* stream) {
    const int blocks = needs_zeros(in.tokens) ? (in.tokens + kRouters - 1) / kRouters : 1;
    route<<<blocks, kRouters * 32, 0, static_cast<cudaStream_t>(stream)>>>(in);
    return cudaGetLastError();
}

constexpr int kAdders = 224;  // threads, of eight columns each

// A block adds up a quarter of a token's row.
__global__ void __launch_bounds__(kAdders) combine(const Inputs in) {
    const int lane = threadIdx.x & 31;
    const int token = blockIdx.x, column = (blockIdx.y * kAdders + threadIdx.x) * 8;
    wait_for_primary();
    const int count = load_now(in.counts + lane);
    int begin = count;  // of each expert's rows: lane is the expert
#pragma unroll
    for (int step = 1; step < 32; step <<= 1) {
        const int other = __shfl_up_sync(~0u, begin, step);
        if (lane >= step) begin += other;
    }
    begin -= count;
    float sum[8] = {};
#pragma unroll
    for (int k = 0; k < kTop; ++k) {
        const int place = in.places[token * kTop + k];
        const int first = __shfl_sync(~0u, begin, place < 0 ? 0 : place >> 20);
        if (place < 0) continue;
        const float share = in.shares[token * kTop + k];
        const size_t row = first + (place & 0xfffff);
        const uint4 v = *reinterpret_cast<const uint4*>(in.parts + row * kHidden + column);
        const unsigned two[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            sum[2 * i] = fmaf(share, __uint_as_float(two[i] << 16), sum[2 * i]);
            sum[2 * i + 1] = fmaf(share, __uint_as_float(two[i] & 0xffff0000u), sum[2 * i + 1]);
        }
    }
    uint4 packed;
    packed.x = two_bf16(sum[0], sum[1]), packed.y = two_bf16(sum[2], sum[3]);
    packed.z = two_bf16(sum[4], sum[5]), packed.w = two_bf16(sum[6], sum[7]);
    *reinterpret_cast<uint4*>(in.output + static_cast<size_t>(token) * kHidden + column) = packed;
}

int launch_combine(const Inputs& in, void* stream) {
    return launch_early(combine, dim3(in.tokens, kHidden / (kAdders * 8)), kAdders, 0, stream, in);
}
