// Chooses each token's experts, lists the tokens of local experts, and adds up what they answer.
#include <cuda_runtime.h>

#include "choose.cuh"

namespace gathered {
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

constexpr int kCopiers = kHidden / 16;  // threads, of 16 bytes each

// Adds up the counts of the experts before a lane's.
__device__ __forceinline__ int begin_of(const int* counts) {
    const int lane = threadIdx.x & 31, count = load_now(counts + lane);
    int begin = count;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1) {
        const int other = __shfl_up_sync(~0u, begin, step);
        if (lane >= step) begin += other;
    }
    return begin - count;
}

// A block copies a token's row to where its experts' rows stand.
__global__ void __launch_bounds__(kCopiers) gather(const Inputs in) {
    const int token = blockIdx.x, thread = threadIdx.x;
    const uint4 mine = reinterpret_cast<const uint4*>(in.hidden + static_cast<size_t>(token) * kHidden)[thread];
    const float scale = thread < kHidden / 128 ? in.hidden_scale[static_cast<size_t>(thread) * in.tokens + token] : 0.0f;
    wait_for_primary();
    launch_dependents();
    const int begin = begin_of(in.counts);
#pragma unroll
    for (int k = 0; k < kTop; ++k) {
        const int place = load_now(in.places + token * kTop + k);
        const int first = __shfl_sync(~0u, begin, place < 0 ? 0 : place >> 20);
        if (place < 0) continue;
        const size_t row = first + (place & 0xfffff);
        reinterpret_cast<uint4*>(in.rows + row * kHidden)[thread] = mine;
        if (thread < kHidden / 128) in.rows_scale[row * (kHidden / 128) + thread] = scale;
    }
}

int launch_gather(const Inputs& in, void* stream) {
    return launch_early(gather, dim3(in.tokens), kCopiers, 0, stream, in);
}

constexpr int kAdders = 224;  // threads, of eight columns each

// A block adds up a quarter of a token's row.
__global__ void __launch_bounds__(kAdders) combine(const Inputs in) {
    const int token = blockIdx.x, column = (blockIdx.y * kAdders + threadIdx.x) * 8;
    wait_for_primary();
    const int begin = begin_of(in.counts);  // of each expert's rows: a lane has one
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
}  // namespace gathered
