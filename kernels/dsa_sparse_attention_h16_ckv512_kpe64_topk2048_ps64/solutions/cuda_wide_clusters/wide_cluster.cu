// Few tokens: one launch, a cluster of blocks a token, of which each makes products by warp groups
// with the rows as the large side. Parts go to the shared memory of the peers that merge them.
#include <cuda_runtime.h>

#include "pieces.cuh"
#include "sparse_attention.h"

constexpr int SPLITS = 16;  // blocks of a token, a cluster
constexpr int ALONE = 64;   // most rows of a token that one block takes
constexpr int FEWEST = 16;  // rows of a block where several share a token
constexpr int PLACES = 2048, THREADS = 256, WARPS = 8;
constexpr int KEYS = 128, CHUNKS = 9;        // rows, and parts of 64 of a row's 576 elements
constexpr int CHUNK = KEYS * 128;            // bytes: rows of 128, swizzled
constexpr int QUERY_CHUNK = 16 * 128;
constexpr int PITCH = KEYS + 4;              // elements between heads of logits
constexpr int STAGE = 1040;                  // bytes between heads of an answer on its way out
constexpr int AT_QUERY = CHUNKS * CHUNK;
constexpr int AT_WEIGHTS = AT_QUERY + CHUNKS * QUERY_CHUNK;  // 16 rows of 128 bytes, swizzled
constexpr int WEIGHTS_TILE = 16 * 128;  // of 64 rows
constexpr int AT_LOGITS = AT_WEIGHTS + 2 * WEIGHTS_TILE;
constexpr int AT_LANDED = AT_LOGITS + 2 * 16 * PITCH * 4;  // 16 heads of 32 columns from each peer
constexpr int AT_SUMS = AT_LANDED + SPLITS * 1024;         // peak and sum of weights of each peer and head
constexpr int AT_LIST = AT_SUMS + SPLITS * 16 * 8;
constexpr int AT_COUNTS = AT_LIST + KEYS * 4;
constexpr int AT_OWN = AT_COUNTS + WARPS * 4;  // peak and sum of weights of each head
constexpr int AT_BARRIER = AT_OWN + 16 * 8;
constexpr int BYTES = AT_BARRIER + 16;
static_assert(AT_OWN % 16 == 0 && 16 * STAGE <= AT_QUERY && BYTES <= 232448, "");

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned r; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r;
}
// Relaxed: all that peers must see is the barrier, which a fence of its own makes known; a release
// would be a fence of all memory.
__device__ __forceinline__ void cluster_arrive() {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
__device__ __forceinline__ void cluster_wait() {
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ __forceinline__ unsigned peer_address(unsigned a, unsigned rank) {
    unsigned r; asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(rank)); return r;
}
__device__ __forceinline__ void push(unsigned to, uint4 v, unsigned bar) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1,%2,%3,%4}, [%5];"
                 ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w), "r"(bar) : "memory");
}
__device__ __forceinline__ void push(unsigned to, float2 v, unsigned bar) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%0], {%1,%2}, [%3];"
                 ::"r"(to), "r"(__float_as_uint(v.x)), "r"(__float_as_uint(v.y)), "r"(bar) : "memory");
}
__device__ __forceinline__ void landed(unsigned bar) {
    unsigned done;
    do {
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], 0; selp.u32 %0, 1, 0, p; }"
                     : "=r"(done) : "r"(bar) : "memory");
    } while (!done);
}
// Sixteen bytes to shared memory, zeros where they are not there.
__device__ __forceinline__ void copy16(unsigned to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// All copies but those of the last `but` ends.
template <int but>
__device__ __forceinline__ void copies_done() { asm volatile("cp.async.wait_group %0;" ::"n"(but) : "memory"); }
__device__ __forceinline__ void half_sync(int half) { asm volatile("bar.sync %0, 128;" ::"r"(half + 1) : "memory"); }
__device__ __forceinline__ float inverse(float x) {
    float y; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y;
}
// Where piece `piece` of 16 bytes of row `row` lies in a swizzled tile.
__device__ __forceinline__ unsigned swizzled(int row, int piece) { return row * 128 + ((piece ^ (row & 7)) << 4); }

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
// A tile of 128-byte rows in the 128-byte swizzle, eight rows each 1024 bytes: rows are the outer
// side of a product, or the inner one where the operand is transposed. Sixteen bytes on is 1 more.
__device__ __forceinline__ unsigned long long tile(unsigned a) {
    return ((a & 0x3ffff) >> 4) | (64ull << 16) | (64ull << 32) | (1ull << 62);
}
template <int TRANSPOSED>
__device__ __forceinline__ void wide_product(float (&d)[8], unsigned long long a, unsigned long long b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7}, %8, %9, 1, 1, 1, %10, 0;"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
                 : "l"(a), "l"(b), "n"(TRANSPOSED));
}
__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_end() {
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}
// Logits of 64 rows (d's rows), from `first` on, and 16 heads from a half of the elements: four chunks and half of the
// rotary one.
__device__ __forceinline__ void row_products(float (&d)[8], unsigned base, int first, int half) {
    const unsigned long long rows = tile(base + half * 4 * CHUNK + first * 128), query = tile(base + AT_QUERY + half * 4 * QUERY_CHUNK);
    const unsigned long long rotary = tile(base + 8 * CHUNK + first * 128 + half * 64);
    const unsigned long long rotary_query = tile(base + AT_QUERY + 8 * QUERY_CHUNK + half * 64);
    products_begin();
#pragma unroll
    for (int s = 0; s < 16; ++s)
        wide_product<0>(d, rows + ((s >> 2) * CHUNK + (s & 3) * 32) / 16, query + ((s >> 2) * QUERY_CHUNK + (s & 3) * 32) / 16);
#pragma unroll
    for (int s = 0; s < 2; ++s) wide_product<0>(d, rotary + s * 2, rotary_query + s * 2);
    products_end();
}
// Sums of values of 4 x 64 columns (d's rows) for 16 heads over `steps` sixteens of rows.
__device__ __forceinline__ void column_products(float (&d)[4][8], unsigned base, int chunk, int steps) {
    const unsigned long long values = tile(base + chunk * CHUNK), weights = tile(base + AT_WEIGHTS);
#pragma unroll 1
    for (int s = 0; s < steps; ++s) {
        products_begin();
#pragma unroll
        for (int m = 0; m < 4; ++m)
            wide_product<1>(d[m], values + (m * CHUNK + s * 2048) / 16, weights + (s >> 2) * (WEIGHTS_TILE / 16) + (s & 3) * 2);
        products_end();
    }
}
#else
// Slow, for other architectures: what the instructions above compute, element by element.
__device__ __forceinline__ float element(unsigned at, int row, int column) {
    unsigned short h;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(h) : "r"(at + swizzled(row, column >> 3) + (column & 7) * 2) : "memory");
    return __uint_as_float((unsigned)h << 16);
}
__device__ __forceinline__ int row_of(int e) { return (threadIdx.x >> 5 & 3) * 16 + ((threadIdx.x & 31) >> 2) + (e >> 1 & 1) * 8; }
__device__ __forceinline__ int head_of(int e) { return (threadIdx.x & 3) * 2 + (e & 1) + (e >> 2) * 8; }
__device__ __forceinline__ void row_products(float (&d)[8], unsigned base, int first, int half) {
#pragma unroll 1
    for (int i = 0; i < 288; ++i) {
        const int k = i < 256 ? half * 256 + i : 512 + half * 32 + i - 256;
#pragma unroll
        for (int e = 0; e < 8; ++e)
            d[e] += element(base + (k >> 6) * CHUNK + first * 128, row_of(e), k & 63) *
                    element(base + AT_QUERY + (k >> 6) * QUERY_CHUNK, head_of(e), k & 63);
    }
}
__device__ __forceinline__ void column_products(float (&d)[4][8], unsigned base, int chunk, int steps) {
#pragma unroll 1
    for (int k = 0; k < steps * 16; ++k)
#pragma unroll
        for (int m = 0; m < 4; ++m)
#pragma unroll
            for (int e = 0; e < 8; ++e)
                d[m][e] += element(base + (chunk + m) * CHUNK, k, row_of(e)) * element(base + AT_WEIGHTS + (k >> 6) * WEIGHTS_TILE, head_of(e), k & 63);
}
#endif

// The matrices of a warp's 16 columns and 16 heads, transposed: heads become rows.
__device__ __forceinline__ void store_transposed(unsigned a, unsigned r0, unsigned r1, unsigned r2, unsigned r3) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(a), "r"(r0), "r"(r1), "r"(r2), "r"(r3) : "memory");
}

// A token of few rows is the first block's alone. Otherwise a block sends each peer 32 columns.
__global__ void __cluster_dims__(SPLITS, 1, 1) __launch_bounds__(THREADS, 1) wide_attention(
    const unsigned short* __restrict__ q_nope, const unsigned short* __restrict__ q_pe,
    const unsigned short* __restrict__ ckv, const unsigned short* __restrict__ kpe,
    const int* __restrict__ indices, unsigned short* __restrict__ output, float* __restrict__ lse,
    float scale) {
    extern __shared__ __align__(1024) char shared[];
    const int thread = threadIdx.x, lane = thread & 31, warp = thread >> 5;
    const int rank = cluster_rank();
    const long long token = blockIdx.x / SPLITS;
    const unsigned base = shared_address(shared);
    const float NONE = __int_as_float(0xff800000);

    int place[8];
    const int4* row_of_places = (const int4*)(indices + token * PLACES) + thread;
    *(int4*)place = __ldg(row_of_places);
    *(int4*)(place + 4) = __ldg(row_of_places + THREADS);

    if (thread == 0) barrier_init(base + AT_BARRIER, 1);
    barrier_init_done();
    cluster_arrive();
    // Each half of the block has half of the elements of all rows for itself: their logits, and their
    // values. Made known as the same in a warp, so that operands are counted where it is cheap.
    const int half = __shfl_sync(0xffffffffu, warp >> 2, 0), quarter = warp & 3;
    const int piece = lane & 7, chunk = half * 4 + (lane >> 3);
    // Four heads' queries a warp.
#pragma unroll
    for (int h = 0; h < 4; ++h) {
        const int row = quarter * 4 + h;
        copy16(base + AT_QUERY + chunk * QUERY_CHUNK + swizzled(row, piece),
               q_nope + (token * 16 + row) * 512 + chunk * 64 + piece * 8, true);
    }
    if (lane < 16) {
        const int row = quarter * 4 + (lane >> 2), at = half * 4 + (lane & 3);
        copy16(base + AT_QUERY + 8 * QUERY_CHUNK + swizzled(row, at), q_pe + (token * 16 + row) * 64 + at * 8, true);
    }

    // Used places stand anywhere in a row: they are counted and dealt out evenly.
    int used = 8;
#pragma unroll
    for (int j = 0; j < 8; ++j) used += place[j] >> 31;
    int to = used;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1) {
        const int other = __shfl_up_sync(0xffffffffu, to, step);
        if (lane >= step) to += other;
    }
    int* counts = (int*)(shared + AT_COUNTS);
    if (lane == 31) counts[warp] = to;
    __syncthreads();
    const int count = lane < WARPS ? counts[lane] : 0;
    const int all = __reduce_add_sync(0xffffffffu, count);
    to += __reduce_add_sync(0xffffffffu, lane < warp ? count : 0) - used;
    const int even = (all + SPLITS - 1) / SPLITS;
    const int each = all <= ALONE ? all : even > FEWEST ? even : FEWEST;
    const int mine = min(max(all - rank * each, 0), each);
    const int blocks = all <= ALONE ? 0 : (all + each - 1) / each;  // that have parts to send
    if (thread == 0 && blocks) barrier_expect(base + AT_BARRIER, blocks * (1024 + 16 * 8));
    if (mine == 0 && blocks == 0) {
        copies_end();
        copies_done<0>();
        cluster_wait();
        if (rank == 0) {
#pragma unroll 1
            for (int j = 0; j < 4; ++j)
                ((uint4*)(output + token * 16 * 512))[j * THREADS + thread] = make_uint4(0, 0, 0, 0);
            if (thread < 16) lse[token * 16 + thread] = NONE;
        }
        return;
    }
    float2* own = (float2*)(shared + AT_OWN);
    if (mine) {
        int* list = (int*)(shared + AT_LIST);
        to -= rank * each;
#pragma unroll
        for (int j = 0; j < 8; ++j)
            if (place[j] >= 0) {
                if ((unsigned)to < (unsigned)mine) list[to] = place[j];
                ++to;
            }
        __syncthreads();
        // Every fourth row a warp. Zeros up to a multiple of sixteen: such rows get a weight of zero, so
        // that no NaN may lie there.
        const int steps = (mine + 15) >> 4;
#pragma unroll 1
        for (int first = quarter; first < KEYS; first += 16) {
            if (first == quarter + 64) copies_end();
            if (first >= steps * 16) continue;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int row = first + 4 * i;
                const bool there = row < mine;
                const long long from = list[there ? row : 0];
                copy16(base + chunk * CHUNK + swizzled(row, piece), ckv + from * 512 + chunk * 64 + piece * 8, there);
                if (lane < 4)
                    copy16(base + 8 * CHUNK + swizzled(row, half * 4 + lane), kpe + from * 64 + (half * 4 + lane) * 8, there);
            }
        }
        copies_end();

        // Logits: half of the dimensions a group of four warps, of 64 rows while others arrive.
        const int group = lane >> 2, pair = (lane & 3) * 2;
#pragma unroll 1
        for (int first = 0; first < mine; first += 64) {
            if (first) copies_done<0>();
            else copies_done<1>();
            async_reads_after_writes();
            half_sync(half);
            float d[8] = {};
            row_products(d, base, first, half);
            float* to_logits = (float*)(shared + AT_LOGITS) + half * 16 * PITCH + first + quarter * 16 + group;
#pragma unroll
            for (int e = 0; e < 8; ++e) to_logits[(pair + (e & 1) + (e >> 2) * 8) * PITCH + (e >> 1 & 1) * 8] = d[e];
        }
        copies_done<0>();
        __syncthreads();
        // Weights: half a warp a head, eight neighbouring rows a lane.
        const int my_head = thread >> 4, my_rows = (lane & 15) * 8;
        const float* logits = (const float*)(shared + AT_LOGITS) + my_head * PITCH + my_rows;
        float logit[8], top = NONE, total = 0.0f;
#pragma unroll
        for (int i = 0; i < 8; i += 4) {
            const float4 one = *(const float4*)(logits + i), other = *(const float4*)(logits + 16 * PITCH + i);
            logit[i] = one.x + other.x, logit[i + 1] = one.y + other.y;
            logit[i + 2] = one.z + other.z, logit[i + 3] = one.w + other.w;
        }
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            logit[i] = my_rows + i < mine ? scale * logit[i] : NONE;
            top = fmaxf(top, logit[i]);
        }
#pragma unroll
        for (int step = 8; step; step >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, step));
#pragma unroll
        for (int i = 0; i < 8; ++i) total += logit[i] = exp2_fast(logit[i] - top);
        *(uint4*)(shared + AT_WEIGHTS + (my_rows >> 6) * WEIGHTS_TILE + swizzled(my_head, my_rows >> 3 & 7)) =
            make_uint4(two_bf16(logit[0], logit[1]), two_bf16(logit[2], logit[3]), two_bf16(logit[4], logit[5]), two_bf16(logit[6], logit[7]));
#pragma unroll
        for (int step = 8; step; step >>= 1) total += __shfl_xor_sync(0xffffffffu, total, step);
        if ((lane & 15) == 0) own[my_head] = make_float2(top, total);
        async_reads_after_writes();
        __syncthreads();

        // Values: 256 columns a group of four warps.
        float mixed[4][8] = {};
        column_products(mixed, base, half * 4, steps);
        float share[4];  // of heads pair, pair + 1, pair + 8, pair + 9
#pragma unroll
        for (int i = 0; i < 4; ++i) share[i] = all <= ALONE ? inverse(own[pair + (i & 1) + (i >> 1) * 8].y) : 1.0f;
        __syncthreads();  // all products with the rows are done: answers take their place
#pragma unroll
        for (int m = 0; m < 4; ++m) {
            const int head = (lane & 7) + (lane >> 4) * 8;
            const int column = half * 256 + m * 64 + quarter * 16 + (lane >> 3 & 1) * 8;
            store_transposed(base + head * STAGE + column * 2,
                             two_bf16(mixed[m][0] * share[0], mixed[m][1] * share[1]),
                             two_bf16(mixed[m][2] * share[0], mixed[m][3] * share[1]),
                             two_bf16(mixed[m][4] * share[2], mixed[m][5] * share[3]),
                             two_bf16(mixed[m][6] * share[2], mixed[m][7] * share[3]));
        }
        __syncthreads();
        if (blocks == 0) {
#pragma unroll 1
            for (int i = thread; i < 16 * 64; i += THREADS)
                *(uint4*)(output + (token * 1024 + i) * 8) = *(const uint4*)(shared + (i >> 6) * STAGE + (i & 63) * 16);
            if (thread < 16) lse[token * 16 + thread] = own[thread].x + log2_fast(own[thread].y);
        }
    } else {
        copies_end();
        copies_done<0>();  // of the queries, which must not arrive when this block has left
    }
    cluster_wait();  // every peer runs, so that its memory can be written
    if (blocks == 0) return;
    const unsigned bar = base + AT_BARRIER;
    if (mine) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int at = i * THREADS + thread, head = at >> 6, column = at & 63, peer = column >> 2;  // of eight columns
            const uint4 v = *(const uint4*)(shared + head * STAGE + column * 16);
            push(peer_address(base + AT_LANDED + rank * 1024 + head * 64 + (column & 3) * 16, peer), v, peer_address(bar, peer));
        }
        push(peer_address(base + AT_SUMS + (rank * 16 + (thread & 15)) * 8, thread >> 4), own[thread & 15],
             peer_address(bar, thread >> 4));
    }
    landed(bar);
    // Sixteen threads a head merge this block's columns.
    const int head = thread >> 4, column = (thread & 15) * 2;
    const float2* sums = (const float2*)(shared + AT_SUMS) + head;
    float peak = NONE, whole = 0.0f, x = 0.0f, y = 0.0f;
#pragma unroll 4
    for (int i = 0; i < blocks; ++i) peak = fmaxf(peak, sums[i * 16].x);
#pragma unroll 4
    for (int i = 0; i < blocks; ++i) {
        const float2 sum = sums[i * 16];
        const float weight = exp2_fast(sum.x - peak);
        const unsigned two = *(const unsigned*)(shared + AT_LANDED + i * 1024 + head * 64 + column * 2);
        whole += weight * sum.y;
        x += weight * __uint_as_float(two << 16);
        y += weight * __uint_as_float(two & 0xffff0000u);
    }
    const float part = inverse(whole);
    *(unsigned*)(output + (token * 16 + head) * 512 + rank * 32 + column) = two_bf16(x * part, y * part);
    if (rank == 0 && (thread & 15) == 0) lse[token * 16 + head] = peak + log2_fast(whole);
}

int launch_clustered(const Arguments& in, void* stream) {
    if (cudaError_t error = cudaFuncSetAttribute(wide_attention, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES))
        return error;
    if (cudaError_t error = cudaFuncSetAttribute(wide_attention, cudaFuncAttributeNonPortableClusterSizeAllowed, 1))
        return error;
    wide_attention<<<in.tokens * SPLITS, THREADS, BYTES, static_cast<cudaStream_t>(stream)>>>(
        in.q_nope, in.q_pe, in.ckv, in.kpe, in.indices, in.output, in.lse, in.scale);
    return cudaGetLastError();
}
