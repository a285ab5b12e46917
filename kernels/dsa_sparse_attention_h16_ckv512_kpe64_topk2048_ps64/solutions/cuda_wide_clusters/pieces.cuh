// What the kernels of few and of many tokens share: how a block attends to its rows.
#pragma once

__device__ __forceinline__ unsigned shared_address(const void* p) {
    return (unsigned)__cvta_generic_to_shared(p);
}
__device__ __forceinline__ void matrices(unsigned (&r)[4], unsigned a) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a) : "memory");
}
__device__ __forceinline__ void matrices_transposed(unsigned (&r)[4], unsigned a) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a) : "memory");
}
__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void barrier_init(unsigned a, unsigned n) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(a), "r"(n) : "memory");
}
__device__ __forceinline__ void barrier_init_done() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void barrier_expect(unsigned a, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(a), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_wait(unsigned a, unsigned parity) {
    asm volatile("{\n.reg .pred done;\nagain:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n}" ::"r"(a), "r"(parity) : "memory");
}
__device__ __forceinline__ void bulk_load(unsigned to, const void* from, unsigned bytes, unsigned bar) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 ::"r"(to), "l"(from), "r"(bytes), "r"(bar) : "memory");
}
__device__ __forceinline__ void async_reads_after_writes() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ unsigned two_bf16(float low, float high) {
    unsigned r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r;
}
__device__ __forceinline__ unsigned short one_bf16(float x) {
    unsigned short h; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x)); return h;
}
__device__ __forceinline__ float exp2_fast(float x) {
    float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y;
}
__device__ __forceinline__ float log2_fast(float x) { return __log2f(x); }
__device__ __forceinline__ void prefetch(const int* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

// What a block is made for, and where things lie in its shared memory.
template <int SPLITS_, int KEYS_, int WARPS_>
struct Shape {
    static constexpr int SPLITS = SPLITS_;  // blocks that share out a token
    static constexpr int KEYS = KEYS_;      // rows that a block gathers at a time
    static constexpr int WARPS = WARPS_;
    static constexpr int TILES = KEYS / 16, BLOCKS = KEYS / 32;
    static constexpr int HALVES = WARPS / 4;  // groups of warps that share the tiles out
    static constexpr int HEADS_A_WARP = 16 / WARPS;
    static constexpr int SPANS = 64 / WARPS;  // products of eight columns a warp
    static constexpr int ROW = 1040;    // bytes between latent rows: 65 x 16, free of conflicts
    static constexpr int ROTARY = 144;  // bytes between rotary rows
    static constexpr int PITCH = KEYS + 8;  // elements between heads of logits and probabilities
    static constexpr int PASSES = 2048 / (SPLITS * KEYS);
    static constexpr int AT_ROTARY = KEYS * ROW;
    static constexpr int AT_LOGITS = AT_ROTARY + KEYS * ROTARY;
    static constexpr int AT_WEIGHTS = AT_LOGITS + 4 * 16 * PITCH * 4;
    static constexpr int AT_FADE = AT_WEIGHTS + 16 * PITCH * 2;
    static constexpr int AT_BARRIERS = AT_FADE + 16 * 4;
    static constexpr int SHARED_BYTES = AT_BARRIERS + 8 * 9;
};

// A token's 2048 places are dealt out to SPLITS blocks in sectors of eight, so that the used ones,
// which mostly stand in front, spread over all blocks. A block gathers its rows by bulk copies and
// attends to them with 16 heads. Returns whether it had any: `mixed` are the sums of values of this
// warp's columns, `top` and `total` the peak and the sum of weights of its heads.
template <class S, class Started>
__device__ __forceinline__ bool attend(
    const unsigned short* __restrict__ q_nope, const unsigned short* __restrict__ q_pe,
    const unsigned short* __restrict__ ckv, const unsigned short* __restrict__ kpe,
    const int* __restrict__ indices, float scale, char* shared, long long token, unsigned rank,
    float (&mixed)[S::SPANS][4], float (&top)[S::HEADS_A_WARP], float (&total)[S::HEADS_A_WARP],
    Started started) {
    constexpr int KEYS = S::KEYS, TILES = S::TILES, BLOCKS = S::BLOCKS, HALVES = S::HALVES;
    constexpr int HEADS_A_WARP = S::HEADS_A_WARP, SPANS = S::SPANS, PASSES = S::PASSES;
    constexpr int ROW = S::ROW, ROTARY = S::ROTARY, PITCH = S::PITCH;
    constexpr int AT_ROTARY = S::AT_ROTARY, AT_LOGITS = S::AT_LOGITS, AT_WEIGHTS = S::AT_WEIGHTS;
    constexpr int AT_FADE = S::AT_FADE;
    const int thread = threadIdx.x, lane = thread & 31, warp = thread >> 5;
    const unsigned base = shared_address(shared);
    const unsigned bars = base + S::AT_BARRIERS;
    const float NONE = __int_as_float(0xff800000);

#define PLACE(pass, j) places[((((pass) * (KEYS / 8)) + (j) / 8) * S::SPLITS + rank) * 8 + (j) % 8]
#define USED(tile) ((used[(tile) >> 1] >> (((tile) & 1) * 16)) & 0xffffu)
    // Where places of this block lie: local place j of a pass is in sector j / 8 of it.
    const int* places = indices + token * 2048;
    int mine[BLOCKS];
#pragma unroll
    for (int i = 0; i < BLOCKS; ++i) mine[i] = PLACE(0, i * 32 + lane);
    int own = warp < TILES ? PLACE(0, warp * 16 + (lane & 15)) : -1;

    started();
    if (thread < TILES + 1) barrier_init(bars + thread * 8, thread < TILES ? 1 : 1);
    barrier_init_done();
    __syncwarp();
    // Queries, which wait for nothing: bulk copies to where the logits will be, then fragments of
    // this warp's nine steps of sixteen dimensions.
    if (warp == 0) {
        if (lane == 0) barrier_expect(bars + TILES * 8, 16 * 1152);
        __syncwarp();
        if (lane < 16)
            bulk_load(base + AT_LOGITS + lane * ROW, q_nope + (token * 16 + lane) * 512, 1024,
                      bars + TILES * 8);
        else
            bulk_load(base + AT_LOGITS + 16 * ROW + (lane - 16) * ROTARY,
                      q_pe + (token * 16 + lane - 16) * 64, 128, bars + TILES * 8);
    }
    const int part = warp / HALVES, half = warp % HALVES;
    const int group = lane >> 2, pair = (lane & 3) * 2;
    __syncthreads();
    unsigned query[9][4];
#pragma unroll
    for (int j = 0; j < SPANS; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) mixed[j][e] = 0.0f;
#pragma unroll
    for (int h = 0; h < HEADS_A_WARP; ++h) top[h] = NONE, total[h] = 0.0f;
    bool any = false;
    unsigned phases = 0;  // of the tiles' barriers

#pragma unroll 1
    for (int pass = 0; pass < PASSES; ++pass) {
        unsigned used[BLOCKS], tiles = 0;
#pragma unroll
        for (int i = 0; i < BLOCKS; ++i) used[i] = __ballot_sync(0xffffffffu, mine[i] >= 0);
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) tiles |= USED(tile) ? 1u << tile : 0u;
        const unsigned own_used = __ballot_sync(0xffffffffu, own >= 0) & 0xffffu;

        if (own_used) {  // this warp's tile of sixteen rows
            if (lane == 0) barrier_expect(bars + warp * 8, __popc(own_used) * 1152);
            __syncwarp();
            const int row = warp * 16 + (lane & 15);
            if (own >= 0) {
                if (lane < 16)
                    bulk_load(base + row * ROW, ckv + (long long)own * 512, 1024, bars + warp * 8);
                else
                    bulk_load(base + AT_ROTARY + row * ROTARY, kpe + (long long)own * 64, 128,
                              bars + warp * 8);
            }
            // Rows that nothing is copied to are multiplied by a weight of zero: no NaN may lie there.
            for (unsigned left = ~own_used & 0xffffu; left; left &= left - 1) {
                uint4* row_start = (uint4*)(shared + (warp * 16 + __ffs(left) - 1) * ROW);
                row_start[lane] = make_uint4(0, 0, 0, 0);
                row_start[lane + 32] = make_uint4(0, 0, 0, 0);
            }
        }
        if (pass + 1 < PASSES) prefetch(&PLACE(pass + 1, thread % KEYS));
        if (pass == 0) {
            barrier_wait(bars + TILES * 8, 0);
#pragma unroll
            for (int s = 0; s < 9; ++s) {
                const int step = part * 9 + s;
                matrices(query[s], base + AT_LOGITS + (lane >> 4) * 16 +
                                       (step < 32 ? (lane & 15) * ROW + step * 32
                                                  : 16 * ROW + (lane & 15) * ROTARY + (step - 32) * 32));
            }
            __syncthreads();  // logits take the place of the queries
        }
        if (tiles) {
            any = true;
            // Logits of each tile, from this warp's share of the dimensions.
#pragma unroll
            for (int i = 0; i < (TILES + HALVES - 1) / HALVES; ++i) {
                const int tile = HALVES * i + half;
                if (!((tiles >> tile) & 1)) continue;
                barrier_wait(bars + tile * 8, (phases >> tile) & 1);
                float sum[4][4] = {};
                const int row = tile * 16 + ((lane >> 4) << 3) + (lane & 7);
                const unsigned latent = base + row * ROW + ((lane >> 3) & 1) * 16;
                const unsigned rotary = base + AT_ROTARY + row * ROTARY + ((lane >> 3) & 1) * 16;
#pragma unroll
                for (int s = 0; s < 9; ++s) {
                    const int step = part * 9 + s;
                    unsigned k[4];
                    matrices(k, step < 32 ? latent + step * 32 : rotary + (step - 32) * 32);
                    multiply(sum[(s & 1) * 2], query[s], k[0], k[1]);
                    multiply(sum[(s & 1) * 2 + 1], query[s], k[2], k[3]);
                }
#pragma unroll
                for (int n = 0; n < 2; ++n) {
                    float* to = (float*)(shared + AT_LOGITS) + (part * 16 + group) * PITCH +
                                tile * 16 + n * 8 + pair;
                    *(float2*)to = make_float2(sum[n][0] + sum[2 + n][0], sum[n][1] + sum[2 + n][1]);
                    *(float2*)(to + 8 * PITCH) =
                        make_float2(sum[n][2] + sum[2 + n][2], sum[n][3] + sum[2 + n][3]);
                }
            }
            __syncthreads();
            // A row's weights: a warp has one or two heads, a lane every thirty-second row.
            float logit[HEADS_A_WARP][BLOCKS], highest[HEADS_A_WARP];
#pragma unroll
            for (int h = 0; h < HEADS_A_WARP; ++h) {
                const float* from = (const float*)(shared + AT_LOGITS) + (warp * HEADS_A_WARP + h) * PITCH + lane;
                highest[h] = NONE;
#pragma unroll
                for (int i = 0; i < BLOCKS; ++i) {
                    logit[h][i] = NONE;
                    if ((used[i] >> lane) & 1) {
                        const float* at = from + i * 32;
                        logit[h][i] = scale * ((at[0] + at[16 * PITCH]) +
                                               (at[32 * PITCH] + at[48 * PITCH]));
                    }
                    highest[h] = fmaxf(highest[h], logit[h][i]);
                }
            }
#pragma unroll
            for (int step = 16; step; step >>= 1)
#pragma unroll
                for (int h = 0; h < HEADS_A_WARP; ++h)
                    highest[h] = fmaxf(highest[h], __shfl_xor_sync(0xffffffffu, highest[h], step));
            float part_sum[HEADS_A_WARP];
#pragma unroll
            for (int h = 0; h < HEADS_A_WARP; ++h) {
                const float now = fmaxf(top[h], highest[h]);
                const float fade = exp2_fast(top[h] - now);
                if (PASSES > 1 && lane == 0) ((float*)(shared + AT_FADE))[warp * HEADS_A_WARP + h] = fade;
                total[h] *= fade;
                top[h] = now;
                part_sum[h] = 0.0f;
                unsigned short* to = (unsigned short*)(shared + AT_WEIGHTS) + (warp * HEADS_A_WARP + h) * PITCH + lane;
#pragma unroll
                for (int i = 0; i < BLOCKS; ++i) {
                    const float weight = exp2_fast(logit[h][i] - now);
                    part_sum[h] += weight;
                    if (used[i]) to[i * 32] = one_bf16(weight);
                }
            }
            __syncthreads();
            if (PASSES > 1) {
                const float* fade = (const float*)(shared + AT_FADE);
                const float above = fade[group], below = fade[group + 8];
#pragma unroll
                for (int j = 0; j < SPANS; ++j) {
                    mixed[j][0] *= above, mixed[j][1] *= above;
                    mixed[j][2] *= below, mixed[j][3] *= below;
                }
            }
            // Values: sixty-four columns a warp.
#pragma unroll
            for (int tile = 0; tile < TILES; ++tile) {
                if (!((tiles >> tile) & 1)) continue;
                unsigned weight[4];
                matrices(weight, base + AT_WEIGHTS +
                                     (((lane & 15) * PITCH) + tile * 16 + ((lane >> 4) << 3)) * 2);
                const unsigned from = base + (tile * 16 + (lane & 15)) * ROW + warp * SPANS * 16 + (lane >> 4) * 16;
#pragma unroll
                for (int j = 0; j < SPANS / 2; ++j) {
                    unsigned value[4];
                    matrices_transposed(value, from + j * 32);
                    multiply(mixed[2 * j], weight, value[0], value[1]);
                    multiply(mixed[2 * j + 1], weight, value[2], value[3]);
                }
            }
#pragma unroll
            for (int step = 16; step; step >>= 1)
#pragma unroll
                for (int h = 0; h < HEADS_A_WARP; ++h) part_sum[h] += __shfl_xor_sync(0xffffffffu, part_sum[h], step);
#pragma unroll
            for (int h = 0; h < HEADS_A_WARP; ++h) total[h] += part_sum[h];
            if (pass + 1 < PASSES) {
                async_reads_after_writes();
                __syncthreads();
            }
        }
        phases ^= tiles;
        if (pass + 1 < PASSES) {
#pragma unroll
            for (int i = 0; i < BLOCKS; ++i) mine[i] = PLACE(pass + 1, i * 32 + lane);
            own = warp < TILES ? PLACE(pass + 1, warp * 16 + (lane & 15)) : -1;
        }
    }
#undef PLACE
#undef USED
    return any;
}
