// More tokens: the blocks of a token leave their parts in global memory, a second launch merges them.
#include <cuda_runtime.h>

#include "pieces.cuh"
#include "sparse_attention.h"

__device__ __forceinline__ void let_merge_start() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
__device__ __forceinline__ void wait_for_parts() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
__device__ __forceinline__ float2 load_sums(const float2* p) {
    float2 v; asm volatile("ld.global.v2.f32 {%0,%1}, [%2];" : "=f"(v.x), "=f"(v.y) : "l"(p)); return v;
}
__device__ __forceinline__ float4 load_part(const float* p) {
    float4 v;
    asm volatile("ld.global.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p));
    return v;
}

template <class S, int BLOCKS_AN_SM>
__global__ void __launch_bounds__(S::WARPS * 32, BLOCKS_AN_SM) split_attention(
    const unsigned short* __restrict__ q_nope, const unsigned short* __restrict__ q_pe,
    const unsigned short* __restrict__ ckv, const unsigned short* __restrict__ kpe,
    const int* __restrict__ indices, float* __restrict__ parts, float2* __restrict__ sums,
    float scale) {
    constexpr int HEADS_A_WARP = S::HEADS_A_WARP, SPANS = S::SPANS;
    extern __shared__ __align__(128) char shared[];
    const int thread = threadIdx.x, lane = thread & 31, warp = thread >> 5;
    const int group = lane >> 2, pair = (lane & 3) * 2;
    const unsigned rank = blockIdx.x % S::SPLITS;
    const long long token = blockIdx.x / S::SPLITS;
    float mixed[SPANS][4], top[HEADS_A_WARP], total[HEADS_A_WARP];
    const bool any = attend<S>(q_nope, q_pe, ckv, kpe, indices, scale, shared, token, rank, mixed, top,
                               total, [] { let_merge_start(); });

    if (lane == 0)
#pragma unroll
        for (int h = 0; h < HEADS_A_WARP; ++h)
            sums[(token * S::SPLITS + rank) * 16 + warp * HEADS_A_WARP + h] =
                make_float2(top[h], total[h]);
    if (any) {
        float* to = parts + ((token * S::SPLITS + rank) * 16 + group) * 512 + warp * SPANS * 8 + pair;
#pragma unroll
        for (int j = 0; j < SPANS; ++j) {
            *(float2*)(to + j * 8) = make_float2(mixed[j][0], mixed[j][1]);
            *(float2*)(to + j * 8 + 8 * 512) = make_float2(mixed[j][2], mixed[j][3]);
        }
    }
}

// A block a head of a token; four columns a thread.
template <int SPLITS>
__global__ void __launch_bounds__(128) merge_parts(
    const float* __restrict__ parts, const float2* __restrict__ sums,
    unsigned short* __restrict__ output, float* __restrict__ lse) {
    const int head = blockIdx.y, thread = threadIdx.x;
    const long long token = blockIdx.x;
    const float NONE = __int_as_float(0xff800000);
    wait_for_parts();
    float2 sum[SPLITS];
#pragma unroll
    for (int i = 0; i < SPLITS; ++i) sum[i] = load_sums(sums + (token * SPLITS + i) * 16 + head);
    float4 value[SPLITS];
#pragma unroll
    for (int i = 0; i < SPLITS; ++i)
        if (sum[i].y > 0.0f)
            value[i] = load_part(parts + ((token * SPLITS + i) * 16 + head) * 512 + thread * 4);
    float peak = NONE;
#pragma unroll
    for (int i = 0; i < SPLITS; ++i) peak = fmaxf(peak, sum[i].x);
    const bool nothing = peak == NONE;
    float whole = 0.0f;
    float4 answer = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int i = 0; i < SPLITS; ++i)
        if (sum[i].y > 0.0f) {
            const float weight = exp2_fast(sum[i].x - peak);
            whole += weight * sum[i].y;
            answer.x += weight * value[i].x;
            answer.y += weight * value[i].y;
            answer.z += weight * value[i].z;
            answer.w += weight * value[i].w;
        }
    const float share = nothing ? 0.0f : 1.0f / whole;
    uint2 packed;
    packed.x = two_bf16(answer.x * share, answer.y * share);
    packed.y = two_bf16(answer.z * share, answer.w * share);
    *(uint2*)(output + (token * 16 + head) * 512 + thread * 4) = packed;
    if (thread == 0) lse[token * 16 + head] = nothing ? NONE : peak + log2_fast(whole);
}

template <class S, int BLOCKS_AN_SM>
static cudaError_t launch(const Arguments& in, cudaStream_t stream) {
    auto attend_to = split_attention<S, BLOCKS_AN_SM>;
    if (cudaError_t error = cudaFuncSetAttribute(
            attend_to, cudaFuncAttributeMaxDynamicSharedMemorySize, S::SHARED_BYTES))
        return error;
    float2* sums = reinterpret_cast<float2*>(in.sums);
    attend_to<<<in.tokens * S::SPLITS, S::WARPS * 32, S::SHARED_BYTES, stream>>>(
        in.q_nope, in.q_pe, in.ckv, in.kpe, in.indices, in.parts, sums, in.scale);
    if (cudaError_t error = cudaGetLastError()) return error;
    // The merge starts while blocks of the launch before still run, and waits for them itself.
    cudaLaunchAttribute early;
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(in.tokens, 16);
    config.blockDim = dim3(128);
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, merge_parts<S::SPLITS>, static_cast<const float*>(in.parts),
                              static_cast<const float2*>(sums), in.output, in.lse);
}

int splits_of(int tokens) { return tokens <= 16 ? 32 : tokens <= 64 ? 4 : 1; }

int launch_split(const Arguments& in, void* stream) {
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    switch (splits_of(in.tokens)) {
        case 32: return launch<Shape<32, 64, 8>, 2>(in, on);
        case 4: return launch<Shape<4, 128, 16>, 1>(in, on);
        default: return launch<Shape<1, 128, 16>, 1>(in, on);
    }
}
