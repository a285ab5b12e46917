// How a warp chooses the experts of a token.
#pragma once
#include "moe.h"
#include "pieces.cuh"

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
