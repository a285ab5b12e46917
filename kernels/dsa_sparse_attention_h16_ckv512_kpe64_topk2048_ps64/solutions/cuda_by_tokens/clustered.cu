// Few tokens: one launch, in which the blocks of a token are a cluster and merge in shared memory.
#include <cuda_runtime.h>

#include "pieces.cuh"
#include "sparse_attention.h"

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned r; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r;
}
__device__ __forceinline__ void cluster_arrive() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ __forceinline__ void cluster_wait() {
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ __forceinline__ unsigned peer_address(unsigned a, unsigned rank) {
    unsigned r; asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(rank)); return r;
}
__device__ __forceinline__ void peer_store(unsigned a, float x, float y) {
    asm volatile("st.shared::cluster.v2.f32 [%0], {%1,%2};" ::"r"(a), "f"(x), "f"(y) : "memory");
}

constexpr int CLUSTER = 16;

// What a block of a cluster is made for: behind the rest lies what its peers send it.
struct Clustered : Shape<CLUSTER, 128, 8> {
    static constexpr int COLUMNS = 512 / CLUSTER;  // of the output, merged by a block
    static constexpr int AT_PARTS = AT_WEIGHTS + 16 * PITCH * 2;
    static constexpr int AT_SUMS = AT_PARTS + 16 * 512 * 4;
    static constexpr int AT_OWN = AT_SUMS + CLUSTER * 16 * 8;
    static constexpr int AT_FADE = AT_OWN + 16 * 8;
    static constexpr int AT_BARRIERS = AT_FADE + 16 * 4;
    static constexpr int SHARED_BYTES = AT_BARRIERS + 8 * 9;
};

// A cluster takes a token. A block sends each peer the columns that the peer will merge.
#define SWIZZLE(head) (((head) & 3) << 3)
__global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(Clustered::WARPS * 32, 1) clustered_attention(
    const unsigned short* __restrict__ q_nope, const unsigned short* __restrict__ q_pe,
    const unsigned short* __restrict__ ckv, const unsigned short* __restrict__ kpe,
    const int* __restrict__ indices, unsigned short* __restrict__ output, float* __restrict__ lse,
    float scale) {
    using S = Clustered;
    constexpr int HEADS_A_WARP = S::HEADS_A_WARP, SPANS = S::SPANS;
    constexpr int COLUMNS = S::COLUMNS, AT_PARTS = S::AT_PARTS, AT_SUMS = S::AT_SUMS, AT_OWN = S::AT_OWN;
    extern __shared__ __align__(128) char shared[];
    const int thread = threadIdx.x, lane = thread & 31, warp = thread >> 5;
    const int group = lane >> 2, pair = (lane & 3) * 2;
    const unsigned rank = cluster_rank();
    const long long token = blockIdx.x / CLUSTER;
    const unsigned base = shared_address(shared);
    const float NONE = __int_as_float(0xff800000);
    float mixed[SPANS][4], top[HEADS_A_WARP], total[HEADS_A_WARP];
    const bool any = attend<S>(q_nope, q_pe, ckv, kpe, indices, scale, shared, token, rank, mixed, top,
                               total, [] { cluster_arrive(); });

    if (lane == 0)
#pragma unroll
        for (int h = 0; h < HEADS_A_WARP; ++h)
            ((float2*)(shared + AT_OWN))[warp * HEADS_A_WARP + h] = make_float2(top[h], total[h]);
    cluster_wait();  // every peer runs, so that its memory can be written
    if (any) {
#pragma unroll
        for (int j = 0; j < SPANS; ++j) {
            const int column = warp * SPANS * 8 + j * 8 + pair;
            const int peer = column / COLUMNS, at = column % COLUMNS;
            // Rotated by the head, so that a half warp's eight-byte stores meet no bank twice.
            const unsigned place = base + AT_PARTS +
                ((rank * 16 + group) * COLUMNS + (at ^ SWIZZLE(group))) * 4;
            const unsigned to = peer_address(place, peer);
            peer_store(to, mixed[j][0], mixed[j][1]);
            peer_store(to + 8 * COLUMNS * 4, mixed[j][2], mixed[j][3]);
        }
    }
    __syncthreads();
    if (thread < CLUSTER * 16) {  // one float2 for each peer and head
        const float2 sums = ((const float2*)(shared + AT_OWN))[thread & 15];
        peer_store(peer_address(base + AT_SUMS + (rank * 16 + (thread & 15)) * 8, thread >> 4), sums.x, sums.y);
    }
    cluster_arrive();
    cluster_wait();

    if (thread >= 256) return;
    // Sixteen threads a head merge this block's columns.
    const int head = thread >> 4, first = (thread & 15) * 2;
    const float2* sums = (const float2*)(shared + AT_SUMS) + head;
    float peak = NONE;
#pragma unroll
    for (int i = 0; i < CLUSTER; ++i) peak = fmaxf(peak, sums[i * 16].x);
    const bool nothing = peak == NONE;
    float weight[CLUSTER], whole = 0.0f;
#pragma unroll
    for (int i = 0; i < CLUSTER; ++i) {
        const float2 sum = sums[i * 16];
        weight[i] = sum.y > 0.0f ? exp2_fast(sum.x - peak) : 0.0f;
        whole += weight[i] * sum.y;
    }
    const float share = nothing ? 0.0f : 1.0f / whole;
#pragma unroll
    for (int c = 0; c < COLUMNS; c += 32) {
        float x = 0.0f, y = 0.0f;
        const float* from = (const float*)(shared + AT_PARTS) + head * COLUMNS +
                            ((c + first) ^ SWIZZLE(head));
#pragma unroll
        for (int i = 0; i < CLUSTER; ++i)
            if (weight[i] > 0.0f) {
                const float2 value = *(const float2*)(from + i * 16 * COLUMNS);
                x += weight[i] * value.x;
                y += weight[i] * value.y;
            }
        *(unsigned*)(output + (token * 16 + head) * 512 + rank * COLUMNS + c + first) =
            two_bf16(x * share, y * share);
    }
    if (rank == 0 && (thread & 15) == 0)
        lse[token * 16 + head] = nothing ? NONE : peak + log2_fast(whole);
}

int launch_clustered(const Arguments& in, void* stream) {
    const void* kernel = reinterpret_cast<const void*>(clustered_attention);
    if (cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 Clustered::SHARED_BYTES))
        return error;
    if (cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1))
        return error;
    clustered_attention<<<in.tokens * CLUSTER, Clustered::WARPS * 32, Clustered::SHARED_BYTES,
                          static_cast<cudaStream_t>(stream)>>>(in.q_nope, in.q_pe, in.ckv, in.kpe, in.indices,
                                                               in.output, in.lse, in.scale);
    return cudaGetLastError();
}
