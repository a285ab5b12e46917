// Scores of a paged fp8 key cache and the exact 2048 best of each row.
#include <cuda_runtime.h>

#include "topk_indexer.h"

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define TOPK 2048
#define PAGE 64
#define VALUE_BYTES 8192
#define PAGE_BYTES 8448
#define BIN_BITS 11
#define BINS (1 << BIN_BITS)
#define LISTED 512  // most tokens of the border's bin that are ranked pair by pair
#define ALL 0xffffffffu
#define SHORT_THREADS 256
#define CLUSTER 16
// Most pages that a block scores at a time. Only device code may use it: on the host it is always the
// second, so that a launch asks the kernel how many threads it was compiled for.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define WGMMA 1
#define MOST_GROUPS 6
#else
#define MOST_GROUPS 4  // mma.sync needs 128 registers a thread
#endif

__device__ __forceinline__ u32 address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void copy16(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address(to)), "l"(from) : "memory");
}
__device__ __forceinline__ void copy4(void* to, const void* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(address(to)), "l"(from) : "memory");
}
// Waits for this thread's copies, and lets wgmma see them once a barrier has followed.
__device__ __forceinline__ void copies_done() {
    asm volatile("cp.async.wait_all;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void group_sync(int group) {
    asm volatile("bar.sync %0, 128;" ::"r"(group + 1) : "memory");
}
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
// Relaxed: all that peers must see is a barrier that was initialised, which a fence of its own makes
// known; a release would be a fence of all memory by every thread.
__device__ __forceinline__ void cluster_arrive_first() { asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ __forceinline__ u32 in_leader(const void* p) {
    u32 there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, 0;" : "=r"(there) : "r"(address(p)));
    return there;
}
__device__ __forceinline__ void barrier_init(u64* bar) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(address(bar)) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void barrier_expect(u64* bar, u32 nbytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address(bar)), "r"(nbytes) : "memory");
}
__device__ __forceinline__ void barrier_wait(u64* bar, u32 parity) {
    u32 done;
    do {
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                     : "=r"(done) : "r"(address(bar)), "r"(parity) : "memory");
    } while (!done);
}
__device__ __forceinline__ void push4(float* to, float4 v, u64* bar) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1,%2,%3,%4}, [%5];"
                 ::"r"(in_leader(to)), "r"(__float_as_uint(v.x)), "r"(__float_as_uint(v.y)),
                 "r"(__float_as_uint(v.z)), "r"(__float_as_uint(v.w)), "r"(in_leader(bar)) : "memory");
}
__device__ __forceinline__ u32 warp_sum(u32 x) { return __reduce_add_sync(ALL, x); }
// Two floats as halves, rounded towards zero; `low` lies in the lower 16 bits.
__device__ __forceinline__ u32 two_halves(float low, float high) {
    u32 h;
    asm("cvt.rz.f16x2.f32 %0, %1, %2;" : "=r"(h) : "f"(high), "f"(low));
    return h;
}
__device__ __forceinline__ float half_value(u32 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)bits));
    return x;
}
__device__ __forceinline__ void mma_e4m3(float* d, const u32* a, uint2 b) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}
#ifdef WGMMA
// A tile of 128-byte rows in the 128-byte swizzle, 8 rows each 1024 bytes.
__device__ __forceinline__ u64 tile(const void* p) {
    return (u64)((address(p) & 0x3ffff) >> 4) | (1ull << 16) | (64ull << 32) | (1ull << 62);
}
__device__ __forceinline__ void wgmma_e4m3(float (&d)[32], u64 a, u64 b, int add) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
        "%32, %33, p, 1, 1; }"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "l"(a), "l"(b), "r"(add));
}
#endif

// Where 16 bytes of a 128-byte row lie in a swizzled tile.
__device__ __forceinline__ int swizzled(int row, int piece) { return row * 128 + ((piece ^ (row & 7)) << 4); }

// Products of 64 keys (rows) with 64 heads (columns); a thread gets rows g and g+8 of its warp's 16,
// and of each 8 heads columns 2c and 2c+1: d[4j], d[4j+1] of row g, d[4j+2], d[4j+3] of row g+8.
__device__ __forceinline__ void products(float (&d)[32], const u8* keys, const u8* query) {
#ifdef WGMMA
    const u64 a = tile(keys), b = tile(query);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int k = 0; k < 4; ++k) wgmma_e4m3(d, a + 2 * k, b + 2 * k, k);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#else
    const int lane = threadIdx.x & 31, g = lane >> 2, c = lane & 3;
    const int row = ((threadIdx.x >> 5) & 3) * 16 + g;
#pragma unroll
    for (int i = 0; i < 32; ++i) d[i] = 0.0f;
#pragma unroll 1
    for (int k = 0; k < 4; ++k) {
        const int piece = 2 * k + (c >> 1), inside = (c & 1) * 8;
        const uint2 low = *(const uint2*)(keys + swizzled(row, piece) + inside);
        const uint2 high = *(const uint2*)(keys + swizzled(row + 8, piece) + inside);
        const u32 a[4] = {low.x, high.x, low.y, high.y};
#pragma unroll
        for (int j = 0; j < 8; ++j)
            mma_e4m3(d + 4 * j, a, *(const uint2*)(query + swizzled(8 * j + g, piece) + inside));
    }
#endif
}

// Weighted sums over heads of relu(product * scale) of rows g and g+8, in all lanes of a quad.
__device__ __forceinline__ float2 weighted(const float (&d)[32], const float* weights, float s0, float s1) {
    const int c = threadIdx.x & 3;
    float2 sum = make_float2(0.0f, 0.0f);
    if (__builtin_expect(__any_sync(ALL, s0 < 0.0f || s1 < 0.0f), 0)) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const float2 w = *(const float2*)(weights + 8 * j + 2 * c);
            sum.x += fmaxf(d[4 * j] * s0, 0.0f) * w.x + fmaxf(d[4 * j + 1] * s0, 0.0f) * w.y;
            sum.y += fmaxf(d[4 * j + 2] * s1, 0.0f) * w.x + fmaxf(d[4 * j + 3] * s1, 0.0f) * w.y;
        }
    } else {
        float2 odd = make_float2(0.0f, 0.0f);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const float2 w = *(const float2*)(weights + 8 * j + 2 * c);
            sum.x = fmaf(fmaxf(d[4 * j], 0.0f), w.x, sum.x);
            odd.x = fmaf(fmaxf(d[4 * j + 1], 0.0f), w.y, odd.x);
            sum.y = fmaf(fmaxf(d[4 * j + 2], 0.0f), w.x, sum.y);
            odd.y = fmaf(fmaxf(d[4 * j + 3], 0.0f), w.y, odd.y);
        }
        sum.x = (sum.x + odd.x) * s0;
        sum.y = (sum.y + odd.y) * s1;
    }
    sum.x += __shfl_xor_sync(ALL, sum.x, 1);
    sum.y += __shfl_xor_sync(ALL, sum.y, 1);
    sum.x += __shfl_xor_sync(ALL, sum.x, 2);
    sum.y += __shfl_xor_sync(ALL, sum.y, 2);
    return sum;
}

// The 16 scores of a warp, four in each of lanes 0-3; of a page that has `inside` tokens.
__device__ __forceinline__ float4 gathered(float2 sum, int inside) {
    const int lane = threadIdx.x & 31;
    float v[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int from = ((4 * lane + i) & 7) * 4;
        const float low = __shfl_sync(ALL, sum.x, from), high = __shfl_sync(ALL, sum.y, from);
        const int place = (threadIdx.x >> 5 & 3) * 16 + 4 * lane + i;
        v[i] = place < inside ? (lane < 2 ? low : high) + 0.0f : __uint_as_float(0xff800000u);  // -0 becomes 0
    }
    return make_float4(v[0], v[1], v[2], v[3]);
}

// The order of floats, as integers.
__device__ __forceinline__ u32 ordered(float x) {
    const u32 b = __float_as_uint(x);
    return b ^ ((u32)((int)b >> 31) | 0x80000000u);
}
// A coarse order: the first BIN_BITS bits of a half-precision number, for two at once. Rounding
// towards zero is monotone.
__device__ __forceinline__ u32 two_ordered(float low, float high) {
    const u32 h = two_halves(low, high);
    return h ^ (0x80008000u | ((h >> 15 & 0x00010001u) * 0xffffu));
}
__device__ __forceinline__ int bin_of(float x) { return (int)(two_ordered(x, x) >> (32 - BIN_BITS)); }
// The least number of a bin or of one above it.
__device__ __forceinline__ float least_of(int bin) {
    const u32 half = (u32)bin << (16 - BIN_BITS);
    if (half & 0x18000u) return half > 0xffffu ? __uint_as_float(0x7fffffffu) : half_value(half & 0x7fffu);
    const u32 magnitude = 0x8000u - half;  // exclusive: the next float towards zero is the least
    return magnitude > 0x7c00u ? __uint_as_float(0xff800000u)
                               : __uint_as_float((__float_as_uint(half_value(magnitude)) | 0x80000000u) - 1);
}

struct Border {
    u32 totals[32];
    int bin, above, count;      // the border's bin, how many lie above it and in it
    u32 selected, listed, equal;
    u32 digit, left;
};

__device__ __forceinline__ int token(const int* table, int place) { return table[place >> 6] * PAGE + (place & 63); }

// The scores of a bin with many members: four digits of their exact order, then any of the equal.
template <int N>
__device__ __noinline__ void split_large_bin(const float* scores, int length, u32* hist, Border* border,
                                             const int* table, int* out, int need) {
    const int tid = threadIdx.x, bin = border->bin, above = border->above;
    u32 prefix = 0;
#pragma unroll 1
    for (int shift = 24; shift >= 0; shift -= 8) {
#pragma unroll 1
        for (int i = tid; i < 256; i += N) hist[i] = 0;
        __syncthreads();
#pragma unroll 1
        for (int i = tid; i < length; i += N) {
            const float x = scores[i];
            const u32 key = ordered(x);
            if (bin_of(x) == bin && (shift == 24 || (key >> (shift + 8)) == prefix))
                atomicAdd(hist + ((key >> shift) & 255), 1u);
        }
        __syncthreads();
        if (tid == 0) {
            int digit = 255, left = need;
            while ((int)hist[digit] < left) left -= hist[digit--];
            border->digit = digit;
            border->left = left;
        }
        __syncthreads();
        prefix = (prefix << 8) | border->digit;
        need = border->left;
        __syncthreads();
    }
    if (tid == 0) border->listed = border->equal = 0;
    __syncthreads();
#pragma unroll 1
    for (int i = tid; i < length; i += N) {
        const float x = scores[i];
        if (bin_of(x) != bin) continue;
        const u32 key = ordered(x);
        bool take = key > prefix;
        if (key == prefix) take = (int)atomicAdd(&border->equal, 1u) < need;
        if (take) out[above + atomicAdd(&border->listed, 1u)] = token(table, i);
    }
}

// Puts the tokens of the best `most` scores into out; all threads of the block call it, hist holds
// zeros and border->selected, listed are zero. Behind the scores
// lie -inf up to a multiple of four. Loops stay rolled: code is cold when the kernel starts.
template <int N>
__device__ __forceinline__ void select_best(const float* scores, int length, int most, u32* hist, Border* border,
                                          float2* list, const int* table, int* out) {
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
#pragma unroll 1
    for (int first = tid * 4; first < length; first += N * 4) {
        float x[4];
        *(float4*)x = *(const float4*)(scores + first);
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            const u32 two = two_ordered(x[i], x[i + 1]);
            atomicAdd(hist + ((two & 0xffffu) >> (16 - BIN_BITS)), 1u);
            atomicAdd(hist + (two >> (32 - BIN_BITS)), 1u);
        }
    }
    __syncthreads();
    constexpr int SCANNERS = N >= 512 ? 512 : 256, EACH = BINS / SCANNERS;
    u32 h[EACH], sum = 0, before = 0;
    const int lowest = BINS - EACH * (tid + 1);
    if (tid < SCANNERS) {
#pragma unroll
        for (int j = 0; j < EACH; j += 4) {
            const uint4 v = *(const uint4*)(hist + lowest + j);
            h[j] = v.x, h[j + 1] = v.y, h[j + 2] = v.z, h[j + 3] = v.w;
            sum += v.x + v.y + v.z + v.w;
        }
        before = sum;
#pragma unroll
        for (int step = 1; step < 32; step <<= 1) {
            const u32 other = __shfl_up_sync(ALL, before, step);
            if (lane >= step) before += other;
        }
        if (lane == 31) border->totals[warp] = before;
        before -= sum;
    }
    __syncthreads();
    if (tid < SCANNERS) {
        before += warp_sum(lane < warp ? border->totals[lane] : 0u);
        if (before < most && most <= before + sum) {
#pragma unroll
            for (int j = EACH - 1; j >= 0; --j) {
                if (before < most && most <= before + h[j]) {
                    border->bin = lowest + j;
                    border->above = before;
                    border->count = h[j];
                }
                before += h[j];
            }
        }
    }
    __syncthreads();
    const int bin = border->bin, above = border->above, count = border->count, need = most - above;
    const float some = least_of(bin), all = count == need ? some : least_of(bin + 1);
    const bool lists = count != need && count <= LISTED;
#pragma unroll 1
    for (int base = 0; base < length; base += N * 4) {
        const int first = base + tid * 4;
        float x[4];
        u32 taken = 0, doubtful = 0;
        if (first < length) {
            *(float4*)x = *(const float4*)(scores + first);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                taken |= (u32)(x[i] >= all) << i;
                doubtful |= (u32)(x[i] >= some) << i;
            }
            doubtful = lists ? doubtful & ~taken : 0u;
        }
        const u32 mine = __popc(taken);
        u32 to = mine;
#pragma unroll
        for (int step = 1; step < 32; step <<= 1) {
            const u32 other = __shfl_up_sync(ALL, to, step);
            if (lane >= step) to += other;
        }
        u32 start = 0;
        if (lane == 31 && to) start = atomicAdd(&border->selected, to);
        to += __shfl_sync(ALL, start, 31) - mine;
        const int name = first < length ? token(table, first) : 0;  // four tokens share a page
#pragma unroll 1
        for (; taken; taken &= taken - 1) out[to++] = name + __ffs(taken) - 1;
#pragma unroll 1
        for (; doubtful; doubtful &= doubtful - 1) {
            const int place = first + __ffs(doubtful) - 1;
            list[atomicAdd(&border->listed, 1u)] = make_float2(scores[place], __int_as_float(place));
        }
    }
    if (count == need) return;
    __syncthreads();
    if (__builtin_expect(!lists, 0)) {
        split_large_bin<N>(scores, length, hist, border, table, out, need);
        return;
    }
#pragma unroll 1
    for (int c = warp; c < count; c += N / 32) {
        const float2 mine = list[c];
        int rank = 0;
#pragma unroll 1
        for (int first = 0; first < count; first += 32) {
            bool better = false;
            if (first + lane < count) {
                const float2 other = list[first + lane];
                better = other.x > mine.x || (other.x == mine.x && __float_as_int(other.y) < __float_as_int(mine.y));
            }
            rank += __popc(__ballot_sync(ALL, better));
        }
        if (lane == 0 && rank < need) out[above + rank] = token(table, __float_as_int(mine.y));
    }
}

// A row of at most 2048 tokens selects them all.
__device__ __forceinline__ void pass_through(const int* pages, int length, int* out, int tid, int threads) {
#pragma unroll 1
    for (int four = tid; four < TOPK / 4; four += threads) {
        const int place = four * 4;
        int first = 0;
        if (place < length) first = pages[place >> 6] * PAGE + (place & 63);
        int4 v;
        v.x = place < length ? first : -1;
        v.y = place + 1 < length ? first + 1 : -1;
        v.z = place + 2 < length ? first + 2 : -1;
        v.w = place + 3 < length ? first + 3 : -1;
        *(int4*)(out + place) = v;
    }
}

#define ARGUMENTS                                                                                  \
    const u8 *__restrict__ queries, const u8 *__restrict__ cache, const float *__restrict__ weights, \
        const int *__restrict__ seq_lens, const int *__restrict__ tables, int *__restrict__ out,     \
        int batch, int width
// One page of 64 keys to a swizzled tile, by the 128 threads of a group.
__device__ __forceinline__ void copy_page(u8* tile, const u8* page) {
    const int thread = threadIdx.x & 127;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int part = i * 128 + thread;
        copy16(tile + swizzled(part >> 3, part & 7), page + part * 16);
    }
}

__global__ void __launch_bounds__(SHORT_THREADS) short_rows(ARGUMENTS) {
    const int row = blockIdx.x, part = blockIdx.y * SHORT_THREADS + threadIdx.x;
    const int place = part * 4;
    const int slot = place >> 6;
    const int page = slot < width ? tables[(long long)row * width + slot] : 0;  // beyond the length: not used
    const int length = seq_lens[row], first = page * PAGE + (place & 63);
    int4 v;
    v.x = place < length ? first : -1;
    v.y = place + 1 < length ? first + 1 : -1;
    v.z = place + 2 < length ? first + 2 : -1;
    v.w = place + 3 < length ? first + 3 : -1;
    *(int4*)(out + (long long)row * TOPK + place) = v;
}

// Any width: scores of all pages to global memory, four pages a block; then a block a row selects.
__global__ void __launch_bounds__(512) score_pages(ARGUMENTS, float* __restrict__ scores) {
    extern __shared__ __align__(1024) u8 shared[];
    u8* const query = shared + 4 * VALUE_BYTES;
    float* const weight = (float*)(query + VALUE_BYTES);
    const int tid = threadIdx.x, lane = tid & 31, group = tid >> 7, g = lane >> 2;
    const int slot = blockIdx.x * 4 + group;
    const long long row = blockIdx.y;
    const int tokens = seq_lens[row];
    const int number = slot < width ? tables[row * width + slot] : 0;
    if (tokens <= TOPK || (int)blockIdx.x * 4 * PAGE >= tokens) return;
    const bool inside = slot * PAGE < tokens;
    copy16(query + swizzled(tid >> 3, tid & 7), queries + row * VALUE_BYTES + tid * 16);
    if (tid < 16) copy16(weight + 4 * tid, weights + row * 64 + 4 * tid);
    float s0 = 0.0f, s1 = 0.0f;
    if (inside) {
        const u8* page = cache + (long long)number * PAGE_BYTES;
        copy_page(shared + group * VALUE_BYTES, page);
        const float* scale = (const float*)(page + VALUE_BYTES) + (tid >> 5 & 3) * 16 + g;
        s0 = scale[0];
        s1 = scale[8];
    }
    copies_done();
    __syncthreads();
    if (!inside) return;
    float d[32];
    products(d, shared + group * VALUE_BYTES, query);
    const float4 four = gathered(weighted(d, weight, s0, s1), tokens - slot * PAGE);
    if (lane < 4) *(float4*)(scores + (row * width + slot) * PAGE + (tid >> 5 & 3) * 16 + 4 * lane) = four;
}

__global__ void __launch_bounds__(1024, 1) select_rows(ARGUMENTS, const float* scores) {
    __shared__ __align__(16) u32 hist[BINS];
    __shared__ Border border;
    __shared__ float2 list[LISTED];
    const long long row = blockIdx.x;
    const int tokens = seq_lens[row];
    const int* const table = tables + row * width;
    if (tokens <= TOPK) {
        pass_through(table, tokens, out + row * TOPK, threadIdx.x, 1024);
        return;
    }
    if (threadIdx.x < BINS / 4) ((uint4*)hist)[threadIdx.x] = make_uint4(0, 0, 0, 0);
    if (threadIdx.x == 0) border.selected = border.listed = 0;
    __syncthreads();
    select_best<1024>(scores + row * width * PAGE, tokens, TOPK, hist, &border, list, table, out + row * TOPK);
}

__device__ __forceinline__ float2 score_rows(const u8* keys, const u8* query, const float* weight, float s0, float s1) {
    float d[32];
    products(d, keys, query);
    return weighted(d, weight, s0, s1);
}

// Clusters of blocks take the rows of more than 2048 tokens in turn, a block every CLUSTER-th page;
// scores go to the shared memory of the cluster's first block, which selects. Blocks of clusters
// without such a row copy the tables of the others.
template <int WANTED>
__global__ void __cluster_dims__(CLUSTER, 1, 1)
    __launch_bounds__((WANTED < MOST_GROUPS ? WANTED : MOST_GROUPS) * 128, 1) index_rows(ARGUMENTS) {
    constexpr int GROUPS = WANTED < MOST_GROUPS ? WANTED : MOST_GROUPS, THREADS = GROUPS * 128;
    extern __shared__ __align__(1024) u8 shared[];
    u8* const tiles = shared;
    u8* const query = tiles + GROUPS * VALUE_BYTES;
    u32* const hist = (u32*)(query + VALUE_BYTES);
    float* const weight = (float*)(hist + BINS);
    Border* const border = (Border*)(weight + 64);
    u64* const arrived = (u64*)(border + 1);
    int* const table = (int*)(arrived + 2);
    float* const scores = (float*)(table + ((width + 3) & ~3));
    const int tid = threadIdx.x, lane = tid & 31, group = tid >> 7, g = lane >> 2;
    const int rank = blockIdx.x % CLUSTER, cluster = blockIdx.x / CLUSTER, clusters = gridDim.x / CLUSTER;
    u8* const keys = tiles + group * VALUE_BYTES;
    const int slot = rank + CLUSTER * group;

    // Lengths of 32 rows, and the page that this group scores in each: one wait for both.
    int length = lane < batch ? seq_lens[lane] : 0;
    int its_page = lane < batch && slot < width ? tables[(long long)lane * width + slot] : 0;
    if (rank == 0) {
#pragma unroll 1
        for (int i = tid; i < BINS / 4; i += THREADS) ((uint4*)hist)[i] = make_uint4(0, 0, 0, 0);
        if (tid == 0) {
            border->selected = border->listed = 0;
            barrier_init(arrived);
        }
        __syncwarp();
    }
    cluster_arrive_first();
    bool waited = false;
    u32 parity = 0;
    int found = 0;
#pragma unroll 1
    for (int base = 0; base < batch; base += 32) {
        if (base) {
            const int row = base + lane;
            length = row < batch ? seq_lens[row] : 0;
            its_page = row < batch && slot < width ? tables[(long long)row * width + slot] : 0;
        }
        u32 mask = __ballot_sync(ALL, length > TOPK);
#pragma unroll 1
        for (; mask; mask &= mask - 1, ++found) {
            if (found % clusters != cluster) continue;
            const int from = __ffs(mask) - 1;
            const int tokens = __shfl_sync(ALL, length, from);
            const int page0 = __shfl_sync(ALL, its_page, from);
            const long long row = base + from;
            const int pages = (tokens + PAGE - 1) / PAGE;
            if (waited) {  // a row before: this block is done with its query, the first one with its scores
                __syncthreads();
                if (rank == 0) {
#pragma unroll 1
                    for (int i = tid; i < BINS / 4; i += THREADS) ((uint4*)hist)[i] = make_uint4(0, 0, 0, 0);
                    if (tid == 0) border->selected = border->listed = 0;
                }
                cluster_arrive();
            }
#pragma unroll 1
            for (int part = tid; part < 512; part += THREADS)
                copy16(query + swizzled(part >> 3, part & 7), queries + row * VALUE_BYTES + part * 16);
            if (tid < 16) copy16(weight + 4 * tid, weights + row * 64 + 4 * tid);
            if (rank == 0)
#pragma unroll 1
                for (int i = tid; i < pages; i += THREADS) copy4(table + i, tables + row * width + i);
            if (rank == 0 && tid == 0) barrier_expect(arrived, pages * 256);
            const int rounds = (pages + CLUSTER * GROUPS - 1) / (CLUSTER * GROUPS);
#pragma unroll 1
            for (int round = 0; round < rounds; ++round) {
                const int at = slot + round * CLUSTER * GROUPS;
                const u8* page = cache;
                float s0 = 0.0f, s1 = 0.0f;
                if (at < pages) {
                    page += (long long)(round ? tables[row * width + at] : page0) * PAGE_BYTES;
                    if (round) group_sync(group);  // all products with the tile before are done
                    copy_page(keys, page);
                    const float* scale = (const float*)(page + VALUE_BYTES) + (tid >> 5 & 3) * 16 + g;
                    s0 = scale[0];
                    s1 = scale[8];
                }
                copies_done();
                if (round) group_sync(group);
                else __syncthreads();
                float4 four;
                if (at < pages)
                    four = gathered(score_rows(keys, query, weight, s0, s1), tokens - at * PAGE);
                if (round == 0) cluster_wait();  // the first block is there, its counters are zero
                if (at < pages) {
                    float* const to = scores + at * PAGE + (tid >> 5 & 3) * 16;
                    if (lane < 4) push4(to + 4 * lane, four, arrived);
                }
            }
            waited = true;
            if (rank == 0) barrier_wait(arrived, parity);
            parity ^= 1;
            if (rank == 0)
                select_best<THREADS>(scores, tokens, TOPK, hist, border, (float2*)tiles, table, out + row * TOPK);
        }
    }
    if (!waited) cluster_wait();
    // `found` rows were long: clusters beyond them have had none and take the short rows.
    const int busy = found < clusters ? found : 0;
    if (cluster < busy) return;
    const int helper = (cluster - busy) * CLUSTER + rank, helpers = (clusters - busy) * CLUSTER;
    int number = 0;
#pragma unroll 1
    for (int base = 0; base < batch; base += 32) {
        if (batch > 32) length = base + lane < batch ? seq_lens[base + lane] : TOPK + 1;
        const u32 mask = __ballot_sync(ALL, length <= TOPK && base + lane < batch);
        // Each lane asks whether its row is this block's: a walk over all rows costs every warp of
        // the block a division a row.
        const int turn = number + __popc(mask & ((1u << lane) - 1));
        u32 mine = __ballot_sync(ALL, (mask >> lane & 1) && turn % helpers == helper);
        number += __popc(mask);
#pragma unroll 1
        for (; mine; mine &= mine - 1) {
            const int from = __ffs(mine) - 1;
            const long long row = base + from;
            pass_through(tables + row * width, __shfl_sync(ALL, length, from), out + row * TOPK, tid, THREADS);
        }
    }
}

#define MOST_SHARED (200 << 10)
#define WIDEST 448  // pages of a row whose scores a block's shared memory holds

static cudaError_t allow_shared(const void* kernel, int bytes) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

static cudaError_t launch_short(const Arguments& in, cudaStream_t stream) {
    short_rows<<<dim3(in.batch, TOPK / 4 / SHORT_THREADS), SHORT_THREADS, 0, stream>>>(
        in.queries, in.cache, in.weights, in.seq_lens, in.tables, in.out, in.batch, in.width);
    return cudaGetLastError();
}

// One launch: a cluster of blocks a long row, clusters without one take the short rows.
// As many groups of warps as a row has pages for each block: fewer threads start sooner and are in
// step sooner.
template <int WANTED>
static cudaError_t launch_cluster(const Arguments& in, cudaStream_t stream) {
    const void* kernel = (const void*)index_rows<WANTED>;
    cudaFuncAttributes compiled;
    if (cudaError_t error = cudaFuncGetAttributes(&compiled, kernel)) return error;
    const int groups = compiled.maxThreadsPerBlock / 128;
    int device, processors;
    if (cudaError_t error = cudaGetDevice(&device)) return error;
    if (cudaError_t error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))
        return error;
    if (cudaError_t error = allow_shared(kernel, MOST_SHARED)) return error;
    if (cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1))
        return error;
    const int most = processors / CLUSTER > 1 ? processors / CLUSTER : 1;
    // One for a long row and one for every thirty-two rows: a cluster starts when a whole group of
    // processors has room, so that fewer start sooner and leave sooner.
    const int wanted = 1 + (in.batch + 31) / 32;
    const int clusters = wanted < most ? wanted : most;
    const int shared = (groups + 1) * VALUE_BYTES + BINS * 4 + 64 * 4 + (int)sizeof(Border) + 2 * 8 +
                       (in.width + 3) / 4 * 16 + in.width * PAGE * 4;
    index_rows<WANTED><<<clusters * CLUSTER, groups * 128, shared, stream>>>(
        in.queries, in.cache, in.weights, in.seq_lens, in.tables, in.out, in.batch, in.width);
    return cudaGetLastError();
}

// Two launches with the scores in global memory, for any width.
static cudaError_t launch_wide(const Arguments& in, cudaStream_t stream) {
    const int shared = 5 * VALUE_BYTES + 64 * 4;
    score_pages<<<dim3((in.width + 3) / 4, in.batch), 512, shared, stream>>>(
        in.queries, in.cache, in.weights, in.seq_lens, in.tables, in.out, in.batch, in.width, in.scores);
    if (cudaError_t error = cudaGetLastError()) return error;
    select_rows<<<in.batch, 1024, 0, stream>>>(
        in.queries, in.cache, in.weights, in.seq_lens, in.tables, in.out, in.batch, in.width, in.scores);
    return cudaGetLastError();
}

long long score_count(int batch, int width) {
    return width <= WIDEST ? 0 : (long long)batch * width * PAGE;
}

int launch_topk_indexer(const Arguments& in, void* stream) {
    const cudaStream_t on = (cudaStream_t)stream;
    if (in.batch == 0) return cudaSuccess;
    if (in.width * PAGE <= TOPK) return launch_short(in, on);
    if (in.width > WIDEST) return launch_wide(in, on);
    return in.width <= 3 * CLUSTER ? launch_cluster<3>(in, on) : launch_cluster<6>(in, on);
}
