// The gated delta rule over prompts, in chunks of 64 tokens on tensor cores.
//
// A chunk that starts from state S leaves, with G the running sum of its log decays,
//     W = beta * (V - exp(G) * (K S^T))      N = T W       T = (I + A)^-1
//     O = scale * exp(G) * (Q S^T) + P N          S' = exp(G_end) S + (exp(G_end - G) * N)^T K
//     A[i,j] = beta_i exp(G_i - G_j) k_i.k_j, j < i      P[i,j] = scale exp(G_i - G_j) q_i.k_j, j <= i
// `prepare` computes T and P of every chunk at once, `chain` walks the state through the chunks of a
// sequence, `recur` takes prompts so short that chunks do not pay, four tokens at a time.
// The chain is computed transposed, rows of the state as rows of every product: what one product
// leaves in registers is the left operand of the next.
#include "pieces.cuh"
#include "gated_delta.h"

#define STAGES 3
#define SHORT_TOKENS 80
#define DEPENDENT 1
#define MOST_BY_HEAD 396
#define PREFETCH 1
#define ONE_KNOWN 1
#define USE_WGMMA 1
#define PAIRED_ABOVE kProcessors  // blocks of one group that a call may have
#define PAIRED_STAGES 4           // of what walks the ends

constexpr int kChunk = 64, kSize = 128, kHeads = 8, kQkHeads = 4, kThreads = 128;
constexpr int kRows = 64;  // rows of V of a block of the chain
constexpr int kTile = kChunk * kSize * 2, kHalf = kChunk * 128;
// T and P. T's rows 0 .. 31 need none of their columns 32 .. 63: factors lie there.
constexpr int kImage = 2 * kHalf;
constexpr int kStage = 2 * kTile + kHalf + kImage;
constexpr int kMostRanked = 128;
constexpr unsigned kProcessors = 132;

__device__ __forceinline__ float widened(uint16_t x) {
    return __uint_as_float(static_cast<uint32_t>(x) << 16);
}
__device__ __forceinline__ uint16_t narrowed(float x) { return pack_bf16(x, 0.0f) & 0xffff; }

// First token of a sequence. A single one needs no load, which all other loads would wait for.
__device__ __forceinline__ long long start_of(const Inputs& in, int sequence) {
    return ONE_KNOWN && in.sequences == 1 ? sequence * in.tokens : in.cu_seqlens[sequence];
}

// Byte of element (row, column) in a tile of 64 bf16 columns whose 16-byte pieces are swizzled.
__device__ __forceinline__ int swizzled(int row, int column) {
    return row * 128 + ((((column >> 3) ^ row) & 7) << 4) + (column & 7) * 2;
}

// Byte of the factors of tokens 2 * pair and 2 * pair + 1 in a tile of T: exp(G) of both, then
// exp(G_end - G) of both; one piece further their update gates. With these outside T its diagonal is
// exactly 1, where rounding a gate to bf16 would be the largest error of all.
__device__ __forceinline__ int factors_at(int pair) { return pair * 128 + (((4 ^ pair) & 7) << 4); }
__device__ __forceinline__ int gates_at(int pair) { return pair * 128 + (((5 ^ pair) & 7) << 4); }

// Asks L2 for `bytes` of each of `rows` rows, 128 of them a line, before anybody knows whose they are.
template <int THREADS>
__device__ __forceinline__ void prefetch_rows(bf16_ptr from, int stride, int rows, int lines) {
#pragma unroll 1
    for (int i = threadIdx.x; i < rows * lines; i += THREADS)
        prefetch_line(from + static_cast<long long>(i / lines) * stride + i % lines * 64);
}

// Brings COLUMNS bf16 of 16 * BLOCKS rows into swizzled tiles of 64 columns; zeros beyond `rows`.
template <int COLUMNS, int BLOCKS, int THREADS>
__device__ __forceinline__ void bring_tile(uint32_t to, bf16_ptr from, int stride, int rows) {
    constexpr int kPieces = COLUMNS / 8, kEach = THREADS / kPieces;
    const int thread = threadIdx.x % THREADS, piece = thread % kPieces, row = thread / kPieces;
    bf16_ptr source = from + static_cast<long long>(row) * stride + piece * 8;
    const uint32_t base = to + (piece / 8) * kHalf;
#pragma unroll 1
    for (int i = 0; i < (16 * BLOCKS + kEach - 1) / kEach; ++i) {
        const int r = row + i * kEach;
        if (16 * BLOCKS % kEach != 0 && r >= 16 * BLOCKS) break;
        const bool valid = r < rows;
        copy_async16(base + swizzled(r, (piece % 8) * 8),
                     valid ? source + static_cast<long long>(i) * kEach * stride : from, valid);
    }
}

// Zeros in the rows of a tile that belong to no token of this sequence: what lies there could be
// anything, and nothing times anything need not be nothing.
template <int THREADS>
__device__ __forceinline__ void clear_rows(char* tile, int rows) {
#pragma unroll 1
    for (int i = rows * 8 + threadIdx.x; i < kChunk * 8; i += THREADS)
        *reinterpret_cast<uint4*>(tile + i * 16) = make_uint4(0, 0, 0, 0);
}

// B fragments of two neighbouring groups of 8 rows of a swizzled tile, columns 16 * step ...
__device__ __forceinline__ uint32_t rows_address(uint32_t tile, int pair, int step) {
    const int lane = threadIdx.x & 31;
    return tile + (step >> 2) * kHalf +
           swizzled(pair * 16 + ((lane >> 4) << 3) + (lane & 7),
                    ((step & 3) * 2 + ((lane >> 3) & 1)) * 8);
}
// The same tile read as [column, row]: rows 16 * step ..., two groups of 8 columns.
__device__ __forceinline__ uint32_t columns_address(uint32_t tile, int pair, int step) {
    const int lane = threadIdx.x & 31;
    return tile + (pair >> 2) * kHalf +
           swizzled(step * 16 + (((lane >> 3) & 1) << 3) + (lane & 7),
                    ((pair & 3) * 2 + (lane >> 4)) * 8);
}
// A fragment: rows 16 * block ..., columns 16 * step ...
__device__ __forceinline__ uint32_t left_address(uint32_t tile, int block, int step) {
    const int lane = threadIdx.x & 31;
    return tile + (step >> 2) * kHalf +
           swizzled(block * 16 + (((lane >> 3) & 1) << 3) + (lane & 7),
                    ((step & 3) * 2 + (lane >> 4)) * 8);
}
__device__ __forceinline__ void as_left(uint32_t (&a)[4], const float (&low)[4],
                                        const float (&high)[4]) {
    a[0] = pack_bf16(low[0], low[1]);
    a[1] = pack_bf16(low[2], low[3]);
    a[2] = pack_bf16(high[0], high[1]);
    a[3] = pack_bf16(high[2], high[3]);
}

// ---------------------------------------------------------------------------------------------
// What does not depend on the state

template <int GROUP>
struct Scratch {
    float running[GROUP][kChunk];
    float beta[GROUP][kChunk];
    float warp_sum[GROUP];
};

// What the gates of a thread's head need, whatever its token: asked for before anybody knows that.
template <int GROUP>
__device__ __forceinline__ float2 head_of(const Inputs& in, int head0) {
    const int head = head0 + min(static_cast<int>(threadIdx.x) / kChunk, GROUP - 1);
    return make_float2(in.A_log[head], in.dt_bias[head]);
}

// Running log decays, to base 2, and update gates of a chunk for GROUP heads; ends with a barrier.
template <int GROUP>
__device__ __forceinline__ void compute_gates(const Inputs& in, Scratch<GROUP>& s, long long first,
                                              int rows, int head0, float2 of_head) {
    const int group = threadIdx.x / kChunk, token = threadIdx.x % kChunk, lane = threadIdx.x & 31;
    float sum = 0.0f;
    if (group < GROUP) {
        float beta = 0.0f;
        if (token < rows) {
            const long long at = (first + token) * kHeads + head0 + group;
            // Both at once: a second trip to memory costs as much as the first.
            const uint16_t a = load_now(in.a + at), b = load_now(in.b + at);
            const float x = widened(a) + of_head.y;
            const float softplus = fmaxf(x, 0.0f) + log1pf(__expf(-fabsf(x)));
            // The bound keeps differences of running sums finite. To base 2 from here on.
            sum = fmaxf(-__expf(of_head.x) * softplus, -1e30f) * 1.44269504f;
            beta = __fdividef(1.0f, 1.0f + __expf(-widened(b)));
        }
        s.beta[group][token] = beta;
#pragma unroll
        for (int d = 1; d < 32; d *= 2) {
            const float other = __shfl_up_sync(0xffffffffu, sum, d);
            sum += lane >= d ? other : 0.0f;
        }
        if (token == 31) s.warp_sum[group] = sum;
    }
    __syncthreads();
    if (group < GROUP) s.running[group][token] = sum + (token >= 32 ? s.warp_sum[group] : 0.0f);
    __syncthreads();
}

// T and P of a chunk into images of shared memory. `mixing` holds GROUP tiles of 64 columns,
// `blocks` GROUP x 4 x (16 x 20 floats), `inverses` GROUP x 4 x (16 x 16 bf16).
// What the first barrier comes before may overlay K and Q. COMPACT needs 44 KB for two heads: images
// overlay K and Q, the blocks of A below the diagonal wait above that of T's tile, (i, j) where (j, i)
// is, inverses lie where their blocks were. Ends with a barrier.
constexpr int kBlockBytes = 16 * 20 * 4, kInverseBytes = 16 * 32;
template <int GROUP, int BLOCKS, int WARPS, bool COMPACT>
__device__ __forceinline__ void prepare_chunk(const Scratch<GROUP>& s, char* keys, char* queries,
                                              char* images, char* mixing, char* blocks,
                                              char* inverses, float scale) {
    // Eight warps: the last four compute P, the first four what becomes the inverse.
    const int warp = threadIdx.x >> 5 & 3, part = threadIdx.x >> 7;
    const bool inner = part == 0, outer = WARPS == 4 || part == 1;
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    constexpr int kInverseStep = COMPACT ? kBlockBytes : kInverseBytes;
    // Of eight warps each has one product, of four both.
    constexpr bool kBoth = WARPS == 4;
    float kk[8][4] = {}, other[kBoth ? 8 : 1][4] = {};
    float(*qk)[4] = kBoth ? other : kk;
    const uint32_t k_tile = shared_address(keys), q_tile = shared_address(queries);
#if USE_WGMMA && HAS_WGMMA
    // All of both products, above the diagonal too: a tenth of the instructions.
    const uint64_t by_keys = right_operand(k_tile, 16, 1024), by_queries = right_operand(q_tile, 16, 1024);
    const uint64_t one = kBoth || __shfl_sync(0xffffffffu, part, 0) == 0 ? by_keys : by_queries;
    group_fence();
#pragma unroll
    for (int step = 0; step < 8; ++step) {
        const int at = (step >> 2) * (kHalf >> 4) + (step & 3) * 2;
        group_tiles(kk, one + at, by_keys + at, step > 0);
    }
    if constexpr (kBoth)
#pragma unroll
        for (int step = 0; step < 8; ++step) {
            const int at = (step >> 2) * (kHalf >> 4) + (step & 3) * 2;
            group_tiles(other, by_queries + at, by_keys + at, step > 0);
        }
    group_commit();
    group_wait<0>();
#else
    // Code that runs once costs its fetch: what can be a loop is one.
#pragma unroll 1
    for (int step = 0; step < 8; ++step) {
        if (warp >= BLOCKS) break;
        uint32_t left[4], left_q[4];
        ldmatrix(left, left_address(kBoth || inner ? k_tile : q_tile, warp, step));
        if (kBoth) ldmatrix(left_q, left_address(q_tile, warp, step));
#pragma unroll
        for (int pair = 0; pair < BLOCKS; ++pair) {
            if (pair > warp) continue;
            uint32_t right[4];
            ldmatrix(right, rows_address(k_tile, pair, step));
            mma_bf16(kk[2 * pair], left, right[0], right[1]);
            mma_bf16(kk[2 * pair + 1], left, right[2], right[3]);
            if (kBoth) {
                mma_bf16(qk[2 * pair], left_q, right[0], right[1]);
                mma_bf16(qk[2 * pair + 1], left_q, right[2], right[3]);
            }
        }
    }
#endif
    __syncthreads();
#pragma unroll 1
    for (int group = 0; group < GROUP; ++group) {
        if (warp >= BLOCKS) break;
        char* image = images + group * kImage;
        float* block = reinterpret_cast<float*>(blocks + (group * 4 + warp) * kBlockBytes);
        float own[2], beta[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            own[i] = s.running[group][warp * 16 + g + 8 * i];
            beta[i] = s.beta[group][warp * 16 + g + 8 * i];
        }
        const uint32_t answers = shared_address(image) + kHalf;
        const uint32_t nothing[4] = {0, 0, 0, 0};
#pragma unroll
        for (int pair = 0; pair < BLOCKS; ++pair) {
            if (pair > warp) {
                // A group's product reads all of P's tile.
                if (outer) stmatrix(left_address(answers, warp, pair), nothing);
                continue;
            }
            uint32_t answer[4], mix[4];
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const int tile = 2 * pair + n, column = tile * 8 + 2 * t;
                const float2 others = *reinterpret_cast<const float2*>(&s.running[group][column]);
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const int row = warp * 16 + g + 8 * i;
                    const float decay0 = column <= row ? power_of_two(own[i] - others.x) : 0.0f;
                    const float decay1 = column + 1 <= row ? power_of_two(own[i] - others.y) : 0.0f;
                    if (outer)
                        answer[2 * n + i] = pack_bf16(scale * decay0 * qk[tile][2 * i],
                                                      scale * decay1 * qk[tile][2 * i + 1]);
                    if (!inner) continue;
                    const float mix0 = beta[i] * decay0 * kk[tile][2 * i];
                    const float mix1 = beta[i] * decay1 * kk[tile][2 * i + 1];
                    if (pair == warp) {
                        float* place = block + (column & 15) * 20 + (row & 15);
                        place[0] = mix0;
                        place[20] = mix1;
                    }
                    mix[2 * n + i] = pack_bf16(mix0, mix1);
                }
            }
            if (outer) stmatrix(left_address(answers, warp, pair), answer);
            if (inner && pair < warp)
                stmatrix(COMPACT ? left_address(shared_address(image), pair, warp)
                                 : left_address(shared_address(mixing) + group * kHalf, warp, pair),
                         mix);
        }
    }
    __syncwarp();
    // Inverses of the blocks on the diagonal: a lane solves for one column.
    if (const int group = lane >> 4; inner && group < GROUP && warp < BLOCKS) {
        const int column = lane & 15;
        const float* block = reinterpret_cast<float*>(blocks + (group * 4 + warp) * kBlockBytes);
        uint16_t* inverse = reinterpret_cast<uint16_t*>(inverses + (group * 4 + warp) *
                                                        kInverseStep);
        float x[16];
#pragma unroll
        for (int i = 0; i < 16; ++i) x[i] = i == column ? 1.0f : 0.0f;
#pragma unroll
        for (int j = 0; j < 15; ++j) {
#pragma unroll
            for (int i4 = (j + 1) / 4; i4 < 4; ++i4) {
                const float4 m = *reinterpret_cast<const float4*>(block + j * 20 + i4 * 4);
                const float each[4] = {m.x, m.y, m.z, m.w};
#pragma unroll
                for (int i = 0; i < 4; ++i)
                    if (i4 * 4 + i > j) x[i4 * 4 + i] -= each[i] * x[j];
            }
        }
        // All lanes have read what the inverse takes the place of.
        if (COMPACT) __syncwarp(GROUP == 2 ? 0xffffffffu : 0xffffu);
#pragma unroll
        for (int i = 0; i < 16; ++i) inverse[i * 16 + column] = narrowed(x[i]);
    }
    __syncwarp();
    if (inner && warp < BLOCKS)
#pragma unroll
        for (int group = 0; group < GROUP; ++group) {
            uint32_t x[4];
            ldmatrix(x, shared_address(inverses) + (group * 4 + warp) * kInverseStep +
                            (((lane >> 3) & 1) * 8 + (lane & 7)) * 32 + (lane >> 4) * 16);
            stmatrix(left_address(shared_address(images) + group * kImage, warp, warp), x);
        }
    __syncthreads();
    // Blocks below: T_ij = -T_ii sum_m A_im T_mj, transposed so that each is the next left operand.
    constexpr int kJobs = GROUP == 2 && WARPS == 4 ? 2 : 1;
#pragma unroll 1
    for (int job = 0; job < kJobs; ++job) {
        const int group = GROUP == 2 ? warp & 1 : 0;
        const int each = threadIdx.x >> 5;
        const int j = kJobs == 2    ? (each < 2 ? (job ? 3 : 0) : 1 + job)
                      : GROUP == 2 ? each / 2
                                    : each;
        if (j >= BLOCKS - 1) continue;
        char* image = images + group * kImage;
        const uint32_t mix = COMPACT ? shared_address(image) : shared_address(mixing) + group * kHalf;
        const uint32_t inv = shared_address(inverses) + group * 4 * kInverseStep;
        uint32_t left[3][4];
#pragma unroll
        for (int m = 0; m < BLOCKS - 1; ++m)
            if (m == j)
                ldmatrix_transposed(left[m], inv + m * kInverseStep +
                                                 (((lane >> 4) << 3) + (lane & 7)) * 32 +
                                                 ((lane >> 3) & 1) * 16);
#pragma unroll
        for (int i = 1; i < BLOCKS; ++i) {
            if (i <= j) continue;
            float sum[2][4] = {};
            uint32_t right[4];
#pragma unroll
            for (int m = 0; m < i; ++m) {
                if (m < j) continue;
                ldmatrix(right, COMPACT ? rows_address(mix, m, i) : rows_address(mix, i, m));
                mma_bf16(sum[0], left[m], right[0], right[1]);
                mma_bf16(sum[1], left[m], right[2], right[3]);
            }
            uint32_t a[4];
            as_left(a, sum[0], sum[1]);
            float found[2][4] = {};
            ldmatrix(right, inv + i * kInverseStep + (((lane >> 4) << 3) + (lane & 7)) * 32 +
                                ((lane >> 3) & 1) * 16);
            mma_bf16(found[0], a, right[0], right[1]);
            mma_bf16(found[1], a, right[2], right[3]);
#pragma unroll
            for (int e = 0; e < 8; ++e) found[e / 4][e % 4] = -found[e / 4][e % 4];
            as_left(a, found[0], found[1]);
            stmatrix_transposed(rows_address(shared_address(image), i, j), a);
            if (i < 3)
#pragma unroll
                for (int e = 0; e < 4; ++e) left[i < 3 ? i : 0][e] = a[e];
        }
    }
    if (COMPACT) __syncthreads();
    // A group's product reads T's rows by halves: zeros above the diagonal.
    if (const int each = threadIdx.x >> 5; each < 2 * GROUP) {
        const uint32_t nothing[4] = {0, 0, 0, 0};
        stmatrix(left_address(shared_address(images) + each / 2 * kImage, each % 2 * 2, each % 2 * 2 + 1), nothing);
    }
    if (const int group = threadIdx.x / kChunk; group < GROUP) {
        const int token = threadIdx.x % kChunk;
        const float own = s.running[group][token];
        float* factors =
            reinterpret_cast<float*>(images + group * kImage + factors_at(token / 2)) + (token & 1);
        factors[0] = power_of_two(own);
        factors[2] = power_of_two(s.running[group][kChunk - 1] - own);
        *(reinterpret_cast<float*>(images + group * kImage + gates_at(token / 2)) + (token & 1)) =
            s.beta[group][token];
    }
#if USE_WGMMA && HAS_WGMMA
    // A copy reads what was written.
    async_fence();
#endif
    __syncthreads();
}

// Chunk `slot` of the images belongs to the last sequence i with start_i / 64 + i <= slot.
__device__ __forceinline__ int sequence_of(const Inputs& in, int slot) {
    if (ONE_KNOWN && in.sequences == 1) return 0;
    const int lane = threadIdx.x & 31;
    int count = 0;
    for (int base = 0; base < in.sequences; base += 32) {
        const int i = base + lane;
        const bool before = i < in.sequences && in.cu_seqlens[i] / kChunk + i <= slot;
        const int found = __popc(__ballot_sync(0xffffffffu, before));
        count += found;
        if (found < 32) break;
    }
    return count - 1;
}

__host__ __device__ constexpr int prepare_shared(int group, bool compact = false) {
    return 2 * kTile + group * (compact ? 4 * kBlockBytes : kImage) + (group == 2 ? sizeof(Scratch<2>) : sizeof(Scratch<1>)) / 16 * 16 + 32;
}

// A block prepares a chunk for GROUP heads that share a query and key head.
template <int GROUP, int WARPS, bool COMPACT>
__global__ void __launch_bounds__(32 * WARPS, COMPACT ? 5 : 3) prepare(const Inputs in, const __grid_constant__ Maps maps) {
    launch_dependents();
    char* shared = dynamic_shared();
    const int slot = blockIdx.x, head = blockIdx.y * GROUP, qk_head = head / 2;
#if USE_WGMMA && HAS_WGMMA
    const uint32_t came = shared_address(shared) + prepare_shared(GROUP, COMPACT) - 16;
    if (threadIdx.x == 0) {
        prefetch_map(&maps.k);
        prefetch_map(&maps.q);
        barrier_init(came, 1);
        barrier_init_fence();
    }
#endif
    const float2 of_head = head_of<GROUP>(in, head);
    if (PREFETCH && !(ONE_KNOWN && in.sequences == 1)) {
        // Blocks share out all tokens while the bounds of the sequences are on their way.
        const long long token = static_cast<long long>(slot) * kChunk;
        const int count = static_cast<int>(
            max(0ll, min(static_cast<long long>(kChunk), in.tokens - token)));
        const long long at = (token * kQkHeads + qk_head) * kSize;
        prefetch_rows<32 * WARPS>(in.k + at, kQkHeads * kSize, count, 2);
        prefetch_rows<32 * WARPS>(in.q + at, kQkHeads * kSize, count, 2);
        // The gates of eight tokens lie in a line.
        if (threadIdx.x < 16 && threadIdx.x % 8 * 8 < count)
            prefetch_line((threadIdx.x < 8 ? in.a : in.b) + (token + threadIdx.x % 8 * 8) * kHeads);
    }
    const int sequence = sequence_of(in, slot);
    if (sequence < 0) return;
    const long long start = start_of(in, sequence), end = start_of(in, sequence + 1);
    const long long first =
        start + static_cast<long long>(slot - sequence - static_cast<int>(start / kChunk)) * kChunk;
    if (first >= end) return;
    const int rows = static_cast<int>(min(static_cast<long long>(kChunk), end - first));
#if USE_WGMMA && HAS_WGMMA
    if (threadIdx.x == 0) {
        barrier_expect(came, 2 * kTile);
        copy_tiles(shared_address(shared), &maps.k, qk_head * 2, static_cast<int>(first), came);
        copy_tiles(shared_address(shared) + kTile, &maps.q, qk_head * 2, static_cast<int>(first), came);
    }
#else
    const long long at = (first * kQkHeads + qk_head) * kSize;
    bring_tile<kSize, 4, 32 * WARPS>(shared_address(shared), in.k + at, kQkHeads * kSize, rows);
    bring_tile<kSize, 4, 32 * WARPS>(shared_address(shared) + kTile, in.q + at, kQkHeads * kSize, rows);
    copy_commit();
#endif
    char* behind = shared + 2 * kTile;
    char* images = COMPACT ? shared : behind;
    char* blocks = COMPACT ? behind : shared;
    Scratch<GROUP>& scratch = *reinterpret_cast<Scratch<GROUP>*>(
        behind + GROUP * (COMPACT ? 4 * kBlockBytes : kImage));
    compute_gates<GROUP>(in, scratch, first, rows, head, of_head);
#if USE_WGMMA && HAS_WGMMA
    barrier_wait(came, 0);
    if (rows < kChunk) {
        clear_rows<32 * WARPS>(shared, rows);
        clear_rows<32 * WARPS>(shared + kHalf, rows);
        clear_rows<32 * WARPS>(shared + kTile, rows);
        clear_rows<32 * WARPS>(shared + kTile + kHalf, rows);
        async_fence();
        __syncthreads();
    }
#else
    copy_wait<0>();
    __syncthreads();
#endif
    prepare_chunk<GROUP, 4, WARPS, COMPACT>(scratch, shared, shared + kTile, images, shared + kTile, blocks,
                     COMPACT ? blocks : shared + 4 * GROUP * kBlockBytes, in.scale);
    char* to = in.images + (static_cast<long long>(slot) * kHeads + head) * kImage;
#if USE_WGMMA && HAS_WGMMA
    if (threadIdx.x == 0) store_bytes(to, shared_address(images), GROUP * kImage);
#else
#pragma unroll 3
    for (int i = threadIdx.x; i < GROUP * kImage / 16; i += 32 * WARPS)
        reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(images)[i];
#endif
}

// ---------------------------------------------------------------------------------------------
// The chain

// A warp's 16 rows of a head's state: [V row g or g + 8, K column 8 * tile + 2t ...].
typedef float State[16][4];

__device__ __forceinline__ long long state_at(int sequence, int head, int row) {
    return ((static_cast<long long>(sequence) * kHeads + head) * kSize + row) * kSize;
}

__device__ __forceinline__ void load_state(State& s, const float* from) {
    const int lane = threadIdx.x & 31;
    from += (lane >> 2) * kSize + (lane & 3) * 2;
#pragma unroll
    for (int tile = 0; tile < 16; ++tile)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const float2 x = *reinterpret_cast<const float2*>(from + i * 8 * kSize + tile * 8);
            s[tile][2 * i] = x.x;
            s[tile][2 * i + 1] = x.y;
        }
}

__device__ __forceinline__ void store_state(const State& s, float* to) {
    const int lane = threadIdx.x & 31;
    to += (lane >> 2) * kSize + (lane & 3) * 2;
#pragma unroll
    for (int tile = 0; tile < 16; ++tile)
#pragma unroll
        for (int i = 0; i < 2; ++i)
            *reinterpret_cast<float2*>(to + i * 8 * kSize + tile * 8) =
                make_float2(s[tile][2 * i], s[tile][2 * i + 1]);
}

// d += left * rows^T for the lower triangle of a 64 x 64 tile.
template <int BLOCKS>
__device__ __forceinline__ void multiply_lower(float (&d)[8][4], const uint32_t (&left)[4][4],
                                               uint32_t tile) {
#pragma unroll
    for (int step = 0; step < BLOCKS; ++step)
#pragma unroll
        for (int pair = step; pair < BLOCKS; ++pair) {
            uint32_t right[4];
            ldmatrix(right, rows_address(tile, pair, step));
            mma_bf16(d[2 * pair], left[step], right[0], right[1]);
            mma_bf16(d[2 * pair + 1], left[step], right[2], right[3]);
        }
}

// Of two neighbouring tokens exp(G), or exp(G_end - G), out of a tile of T.
__device__ __forceinline__ float2 reach_of(const char* inverse, int pair) {
    return *reinterpret_cast<const float2*>(inverse + factors_at(pair));
}
__device__ __forceinline__ float2 remain_of(const char* inverse, int pair) {
    return *reinterpret_cast<const float2*>(inverse + factors_at(pair) + 8);
}
__device__ __forceinline__ float2 gates_of(const char* inverse, int pair) {
    return *reinterpret_cast<const float2*>(inverse + gates_at(pair));
}
__device__ __forceinline__ float4 factors_of(const char* inverse, int pair) {
    return *reinterpret_cast<const float4*>(inverse + factors_at(pair));
}

// One chunk: K, Q, V and the image lie in `stage`; O goes to `output`, S is carried on.
template <int BLOCKS>
__device__ __forceinline__ void walk_chunk(State& s, char* stage, uint16_t* output, int rows,
                                           float scale) {
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, t = lane & 3;
    const uint32_t keys = shared_address(stage), queries = keys + kTile, values = keys + 2 * kTile;
    const uint32_t inverse = values + kHalf, attention = inverse + kHalf;
    const char* factors = stage + 2 * kTile + kHalf;
    float u[8][4] = {}, o[8][4] = {};
#pragma unroll
    for (int step = 0; step < 8; ++step) {
        uint32_t left[4];
        as_left(left, s[2 * step], s[2 * step + 1]);
#pragma unroll
        for (int pair = 0; pair < BLOCKS; ++pair) {
            uint32_t right[4];
            ldmatrix(right, rows_address(keys, pair, step));
            mma_bf16(u[2 * pair], left, right[0], right[1]);
            mma_bf16(u[2 * pair + 1], left, right[2], right[3]);
            ldmatrix(right, rows_address(queries, pair, step));
            mma_bf16(o[2 * pair], left, right[0], right[1]);
            mma_bf16(o[2 * pair + 1], left, right[2], right[3]);
        }
    }
    uint32_t left[4][4];
#pragma unroll
    for (int pair = 0; pair < BLOCKS; ++pair) {
        uint32_t v[4];
        // [token, V column] read as [V row, token].
        ldmatrix_transposed(v, rows_address(values, pair, warp));
#pragma unroll
        for (int n = 0; n < 2; ++n) {
            const int tile = 2 * pair + n;
            const float2 reach = reach_of(factors, tile * 4 + t), gate = gates_of(factors, tile * 4 + t);
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const uint32_t both = v[2 * n + i];
                u[tile][2 * i] = gate.x * (__uint_as_float(both << 16) - reach.x * u[tile][2 * i]);
                u[tile][2 * i + 1] =
                    gate.y * (__uint_as_float(both & 0xffff0000u) - reach.y * u[tile][2 * i + 1]);
                o[tile][2 * i] *= scale * reach.x;
                o[tile][2 * i + 1] *= scale * reach.y;
            }
        }
        as_left(left[pair], u[2 * pair], u[2 * pair + 1]);
    }
    float n[8][4] = {};
    multiply_lower<BLOCKS>(n, left, inverse);
#pragma unroll
    for (int pair = 0; pair < BLOCKS; ++pair) as_left(left[pair], n[2 * pair], n[2 * pair + 1]);
    multiply_lower<BLOCKS>(o, left, attention);
    const float kept = reach_of(factors, kChunk / 2 - 1).y;
#pragma unroll
    for (int pair = 0; pair < BLOCKS; ++pair) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int tile = 2 * pair + half;
            const float2 remain = remain_of(factors, tile * 4 + t);
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                n[tile][2 * i] *= remain.x;
                n[tile][2 * i + 1] *= remain.y;
            }
        }
        as_left(left[pair], n[2 * pair], n[2 * pair + 1]);
    }
#pragma unroll
    for (int tile = 0; tile < 16; ++tile)
#pragma unroll
        for (int e = 0; e < 4; ++e) s[tile][e] *= kept;
#pragma unroll
    for (int step = 0; step < BLOCKS; ++step)
#pragma unroll
        for (int pair = 0; pair < 8; ++pair) {
            uint32_t right[4];
            ldmatrix_transposed(right, columns_address(keys, pair, step));
            mma_bf16(s[2 * pair], left[step], right[0], right[1]);
            mma_bf16(s[2 * pair + 1], left[step], right[2], right[3]);
        }
    // The output leaves through this warp's columns of V, which nobody reads any more.
#pragma unroll
    for (int pair = 0; pair < BLOCKS; ++pair) {
        uint32_t x[4];
#pragma unroll
        for (int n2 = 0; n2 < 2; ++n2)
#pragma unroll
            for (int i = 0; i < 2; ++i)
                x[2 * n2 + i] = pack_bf16(o[2 * pair + n2][2 * i], o[2 * pair + n2][2 * i + 1]);
        stmatrix_transposed(rows_address(values, pair, warp), x);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < BLOCKS; ++i) {
        const int token = i * 16 + (lane >> 1), column = warp * 16 + (lane & 1) * 8;
        const uint4 x =
            *reinterpret_cast<const uint4*>(stage + 2 * kTile + swizzled(token, column));
        if (token < rows)
            *reinterpret_cast<uint4*>(output + static_cast<long long>(token) * kHeads * kSize +
                                      column) = x;
    }
}

template <int BLOCKS, int THREADS>
__device__ __forceinline__ void bring_tokens(const Inputs& in, uint32_t stage, long long first,
                                             int rows, int head, int row0) {
    const long long at = (first * kQkHeads + head / 2) * kSize;
    bring_tile<kSize, BLOCKS, THREADS>(stage, in.k + at, kQkHeads * kSize, rows);
    bring_tile<kSize, BLOCKS, THREADS>(stage + kTile, in.q + at, kQkHeads * kSize, rows);
    bring_tile<kRows, BLOCKS, THREADS>(stage + 2 * kTile, in.v + (first * kHeads + head) * kSize + row0,
                      kHeads * kSize, rows);
}

__device__ __forceinline__ void bring_image(uint32_t to, const char* image) {
    constexpr int kPieces = kImage / 16;
#pragma unroll
    for (int i = 0; i < (kPieces + kThreads - 1) / kThreads; ++i) {
        const int piece = threadIdx.x % kThreads + i * kThreads;
        if (piece < kPieces) copy_async16(to + piece * 16, image + piece * 16, true);
    }
}

__device__ __forceinline__ void store_zeros(float* to) {
    for (int i = threadIdx.x % kThreads; i < kRows * kSize / 4; i += kThreads)
        reinterpret_cast<float4*>(to)[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
}

// What a block of the chain walks: a segment of a sequence.
struct Item {
    int sequence;  // -1: none
    int segment, segments;
    int ends;  // ends of segments before this sequence's
};

// A long sequence is cut into segments that are walked at once. A call has `most_ends` more of them than
// sequences; each sequence has its share by length, and no segment fewer than three chunks.
__device__ __forceinline__ int segments_of(const Inputs& in, int length) {
    const int chunks = (length + kChunk - 1) / kChunk;
    if (!in.split || chunks < in.least_cut) return 1;
    const int share = 1 + static_cast<int>(static_cast<long long>(in.most_ends) * length / in.tokens);
    const int each = max(3, (chunks + share - 1) / share);
    return (chunks + each - 1) / each;
}

// Item `index` of those of all sequences, the longest first; at most 128 sequences have an order.
// With `inner`, a sequence's last segment is none. A block's first 128 threads call it.
__device__ __forceinline__ Item item_of(const Inputs& in, int index, bool inner, char* shared) {
    if (in.sequences > kMostRanked || in.sequences == 1 && !in.split)
        return {index < in.sequences ? index : -1, 0, 1, 0};
    int* lengths = reinterpret_cast<int*>(shared);
    int* segments = lengths + kMostRanked;
    int* found = segments + kMostRanked;
    const int mine = threadIdx.x;
    int length = -1, own = 1;
    if (mine < in.sequences) {
        length = static_cast<int>(start_of(in, mine + 1) - start_of(in, mine));
        own = segments_of(in, length);
    }
    // Read by fours.
    if (mine < kMostRanked) lengths[mine] = length, segments[mine] = own;
    if (mine == 0) found[0] = -1;
    __syncthreads();
    if (mine < in.sequences) {
        int before = 0, ends = 0;
#pragma unroll 2
        for (int base = 0; base < in.sequences; base += 4) {
            const int4 others = *reinterpret_cast<const int4*>(lengths + base);
            const int4 theirs = *reinterpret_cast<const int4*>(segments + base);
            const int each[4] = {others.x, others.y, others.z, others.w};
            const int cuts[4] = {theirs.x, theirs.y, theirs.z, theirs.w};
#pragma unroll
            for (int i = 0; i < 4; ++i)
                if (each[i] > length || (each[i] == length && base + i < mine)) {
                    ++before;
                    ends += cuts[i] - 1;
                }
        }
        const int first = inner ? ends : before + ends;
        if (index >= first && index < first + own - inner) {
            found[0] = mine, found[1] = index - first, found[2] = own, found[3] = ends;
        }
    }
    __syncthreads();
    const Item item = {found[0], found[1], found[2], found[3]};
    // Copies will write what ranking used.
    async_fence();
    __syncthreads();
    return item;
}

// A stage of a walk: K, Q, V, T and P, or K, V and T; barriers lie behind.
// Groups of four warps walk 64 rows of a head's state each; of V a stage has as many tiles of 64 columns
// as a block has of them. Behind the stages of the chain lie the states that its answers begin from.
template <int GROUPS>
constexpr int kWalkStage = 2 * kTile + (2 + GROUPS) * kHalf;
template <int GROUPS>
constexpr int kEndStage = kTile + (1 + GROUPS) * kHalf;
template <bool ENDS, int DEPTH, int GROUPS>
constexpr int walk_shared() {
    return DEPTH * (ENDS ? kEndStage<GROUPS> : kWalkStage<GROUPS>) + (ENDS ? 0 : GROUPS * kTile) + 128;
}
// A piece of a segment's end: 64 rows of what it makes of zeros, or the upper or lower 16 bits of
// what it makes of the identity.
constexpr int kEnd = 32768;
#if USE_WGMMA && HAS_WGMMA
// A block's part of the walk of one head through the chunks of a segment.
struct Walk {
    Item item;
    int group, head, first_part, chunks;  // of a warp: its group of four
    long long start, end, first_token;
    const char* images;
    uint32_t stages, states, full, empty, came, went, published, answered;
};

__device__ __forceinline__ int rows_of(const Walk& w, int chunk) {
    return static_cast<int>(min(static_cast<long long>(kChunk),
                                w.end - w.first_token - static_cast<long long>(chunk) * kChunk));
}
__device__ __forceinline__ const char* end_of(const Inputs& in, const Walk& w, int i, int which) {
    return in.ends + ((static_cast<long long>(w.item.ends + i) * kHeads + w.head) * 4 + which) * kEnd;
}

// What one thread does for all: it asks for every tile; the copies themselves say when they are there.
template <bool ENDS, int DEPTH, int GROUPS>
struct Feeder {
    static constexpr int kStageBytes = ENDS ? kEndStage<GROUPS> : kWalkStage<GROUPS>;
    static constexpr int kValuesAt = ENDS ? kTile : 2 * kTile, kInverseAt = kValuesAt + GROUPS * kHalf;
    // Where the ends of the segments before are brought to: not into the first of three stages.
    static constexpr int kEndsAt = DEPTH * kStageBytes - 3 * kEnd;

    __device__ static __forceinline__ void tokens(const Walk& w, const Maps& maps, int chunk) {
        const bool identity = ENDS && w.first_part >= 2;
        const uint32_t stage = w.stages + chunk % DEPTH * kStageBytes, barrier = w.full + chunk % DEPTH * 8;
        const int first = static_cast<int>(w.first_token) + chunk * kChunk;
        barrier_expect(barrier, kTile + (ENDS ? 0 : kTile + kHalf) + (identity ? 0 : GROUPS * kHalf) + kHalf);
        copy_tiles(stage, &maps.k, w.head / 2 * 2, first, barrier);
        if (!identity)
#pragma unroll
            for (int i = 0; i < GROUPS; ++i)
                copy_tiles(stage + kValuesAt + i * kHalf, &maps.v, w.head * 2 + w.first_part % 2 + i, first, barrier);
        if (!ENDS) copy_tiles(stage + kTile, &maps.q, w.head / 2 * 2, first, barrier);
    }
    __device__ static __forceinline__ void image(const Walk& w, int chunk) {
        copy_bytes(w.stages + chunk % DEPTH * kStageBytes + kInverseAt,
                   w.images + static_cast<long long>(chunk) * kHeads * kImage, ENDS ? kHalf : 2 * kHalf,
                   w.full + chunk % DEPTH * 8);
    }
    // What is asked for before any chunk is done with.
    __device__ static __forceinline__ void begin(const Inputs& in, const Walk& w, const Maps& maps) {
        const bool whole = ENDS || w.item.segment == 0;
        const int most = min(DEPTH, w.chunks), ahead = whole ? most : 1;
#pragma unroll 1
        for (int c = 0; c < ahead; ++c) tokens(w, maps, c);
        if (DEPENDENT) dependency_wait();
        proxy_fence();
#pragma unroll 1
        for (int c = 0; c < ahead; ++c) image(w, c);
        if (whole) return;
        auto bring_end = [&](int i) {
            barrier_expect(w.came + i % 3 * 8, kEnd);
            copy_bytes(w.stages + kEndsAt + i % 3 * kEnd, end_of(in, w, i, 2), kEnd, w.came + i % 3 * 8);
        };
#pragma unroll 1
        for (int i = 0; i < min(3, w.item.segment); ++i) bring_end(i);
#pragma unroll 1
        for (int i = 0; i < w.item.segment; ++i) {
            barrier_wait(w.went + i % 3 * 8, i / 3 & 1);
            if (i + 3 < w.item.segment) bring_end(i + 3);
        }
#pragma unroll 1
        for (int c = ahead; c < most; ++c) {
            tokens(w, maps, c);
            image(w, c);
        }
    }
    // What takes the place of a chunk once all have done with it.
    __device__ static __forceinline__ void replace(const Walk& w, const Maps& maps, int chunk) {
        if (chunk + DEPTH >= w.chunks) return;
        barrier_wait(w.empty + chunk % DEPTH * 8, chunk / DEPTH & 1);
        tokens(w, maps, chunk + DEPTH);
        image(w, chunk + DEPTH);
    }
};

// The group that walks a head's state through the chunks; with ENDS it walks what decides the
// segment's end, whatever its beginning will be: zeros with the values (B, parts 0 and 1) or the
// identity without (M, parts 2 and 3); end = beginning M + B. Otherwise the beginning is the
// sequence's, carried through the ends of the segments before, and another group answers the
// queries from the states and solved values that this one publishes.
template <bool ENDS, int DEPTH, int GROUPS>
__device__ __forceinline__ void carry_state(const Inputs& in, const Walk& w, char* shared) {
    typedef Feeder<ENDS, DEPTH, GROUPS> Feed;
    constexpr int kStageBytes = Feed::kStageBytes, kInverseAt = Feed::kInverseAt;
    const int group = GROUPS == 1 ? 0 : w.group, part = w.first_part + group;
    const int row0 = part % 2 * kRows, values_at = Feed::kValuesAt + group * kHalf;
    const bool identity = ENDS && w.first_part >= 2;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, t = threadIdx.x & 3;
    const long long place = state_at(w.item.sequence, w.head, row0);
    State s;
    if (ENDS || !in.state) {
#pragma unroll
        for (int i = 0; i < 64; ++i) {
            const int row = row0 + warp * 16 + (lane >> 2) + (i >> 1 & 1) * 8;
            s[i / 4][i % 4] = identity && row == i / 4 * 8 + 2 * t + (i & 1) ? 1.0f : 0.0f;
        }
    } else {
        load_state(s, in.state + place + warp * 16 * kSize);
    }
    if (DEPENDENT) dependency_wait();
    if (!ENDS && w.item.segment > 0) {
        // Beginning of the next segment = S M + B.
        uint4 made[8], next[8];
        auto load_made = [&](uint4 (&x)[8], int i) {
            const uint4* from = reinterpret_cast<const uint4*>(end_of(in, w, i, part)) + warp * 256 + lane;
#pragma unroll
            for (int pair = 0; pair < 8; ++pair) x[pair] = from[pair * 32];
        };
        load_made(made, 0);
#pragma unroll 1
        for (int i = 0; i < w.item.segment; ++i) {
            uint32_t left[8][4];
#pragma unroll
            for (int step = 0; step < 8; ++step) as_left(left[step], s[2 * step], s[2 * step + 1]);
            if (i + 1 < w.item.segment) load_made(next, i + 1);
            const uint64_t end = right_operand(w.stages + Feed::kEndsAt + i % 3 * kEnd, kEnd / 2, 1024);
            barrier_wait(w.came + i % 3 * 8, i / 3 & 1);
            group_fence();
#pragma unroll
            for (int step = 0; step < 8; ++step) group_columns(s, left[step], end + step * 128, step > 0);
            group_commit();
            // Else what is added would be made ready between the products.
            barrier_wait(w.came + i % 3 * 8, i / 3 & 1);
            group_wait<0>();
            __syncwarp();
            if (lane == 0) barrier_arrive(w.went + i % 3 * 8);
#pragma unroll
            for (int pair = 0; pair < 8; ++pair) {
                const uint32_t parts[4] = {made[pair].x, made[pair].y, made[pair].z, made[pair].w};
#pragma unroll
                for (int i = 0; i < 8; ++i)
                    s[2 * pair + i / 4][i % 4] +=
                        __uint_as_float(i % 2 ? parts[i / 2] & 0xffff0000u : parts[i / 2] << 16);
                made[pair] = next[pair];
            }
        }
    }
    uint32_t left[8][4];
#pragma unroll
    for (int step = 0; step < 8; ++step) as_left(left[step], s[2 * step], s[2 * step + 1]);
    const uint32_t state_tile = w.states + group * kHalf;
#pragma unroll 1
    for (int chunk = 0; chunk < w.chunks; ++chunk) {
        barrier_wait(w.full + chunk % DEPTH * 8, (chunk / DEPTH) & 1);
        char* stage = shared + chunk % DEPTH * kStageBytes;
        if (const int rows = rows_of(w, chunk); !ENDS && rows < kChunk) {
            // Queries need none: a row of answers meets no other.
            clear_rows<GROUPS * kThreads>(stage, rows);
            clear_rows<GROUPS * kThreads>(stage + kHalf, rows);
#pragma unroll
            for (int i = 0; i < GROUPS; ++i)
                clear_rows<GROUPS * kThreads>(stage + Feed::kValuesAt + i * kHalf, rows);
            async_fence();
            named_barrier(1, GROUPS * kThreads);
        }
        const uint32_t keys = shared_address(stage), values = keys + values_at;
        const char* factors = stage + kInverseAt;
        // One addition away from every operand: an address in pieces of 16 bytes is its lowest part.
        const uint64_t by_rows = right_operand(keys, 16, 1024);
        const uint64_t by_columns = right_operand(keys, kHalf, 1024);
        const uint64_t solve = by_rows + (kInverseAt >> 4);
        float u[8][4];
        group_fence();
#pragma unroll
        for (int step = 0; step < 8; ++step)
            group_rows(u, left[step], by_rows + (step >> 2) * (kHalf >> 4) + (step & 3) * 2, step > 0);
        group_commit();
        // While these run: what the answers begin from, all that the results meet, the decay of the state.
        // Behind a wait, even one for what is there, as the compiler would put them between the products.
        if (ENDS) barrier_wait(w.full + chunk % DEPTH * 8, (chunk / DEPTH) & 1);
        else if (chunk > 0) barrier_wait(w.answered + group * 8, chunk - 1 & 1);
        uint32_t values_of[4][4];
        float4 both_of[8];
        float2 gate_of[8];
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) ldmatrix_transposed(values_of[pair], rows_address(values, pair, warp));
        if (identity)
#pragma unroll
            for (int i = 0; i < 16; ++i) values_of[i / 4][i % 4] = 0;
#pragma unroll
        for (int tile = 0; tile < 8; ++tile) both_of[tile] = factors_of(factors, tile * 4 + t);
#pragma unroll
        for (int tile = 0; tile < 8; ++tile)
            if (GROUPS == 1) gate_of[tile] = gates_of(factors, tile * 4 + t);
        if (!ENDS) {
#pragma unroll
            for (int step = 0; step < 8; ++step) stmatrix(left_address(state_tile + (step >> 2) * (GROUPS * kHalf), warp, step & 3), left[step]);
            // The solved values will take the place of V, which all four warps have read then.
            named_barrier(2 + group, kThreads);
        }
        const float kept = read_now(shared_address(factors) + factors_at(kChunk / 2 - 1) + 4);
#pragma unroll
        for (int tile = 0; tile < 16; ++tile)
#pragma unroll
            for (int e = 0; e < 4; ++e) s[tile][e] *= kept;
        barrier_wait(w.full + chunk % DEPTH * 8, (chunk / DEPTH) & 1);
        group_wait<0>();
        stay_behind(u);
        uint32_t mid[4][4];
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) {
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const int tile = 2 * pair + n;
                // Two groups have fewer registers each.
                if (GROUPS == 2) gate_of[tile] = gates_of(factors, tile * 4 + t);
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const uint32_t both = values_of[pair][2 * n + i];
                    u[tile][2 * i] =
                        gate_of[tile].x * (__uint_as_float(both << 16) - both_of[tile].x * u[tile][2 * i]);
                    u[tile][2 * i + 1] = gate_of[tile].y * (__uint_as_float(both & 0xffff0000u) -
                                                            both_of[tile].y * u[tile][2 * i + 1]);
                }
            }
            as_left(mid[pair], u[2 * pair], u[2 * pair + 1]);
        }
        float n[8][4];
        uint32_t late[4][4];
        auto finish = [&](int from, int to) {
#pragma unroll
            for (int pair = from; pair < to; ++pair) {
                if (!ENDS) as_left(mid[pair], n[2 * pair], n[2 * pair + 1]);
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int tile = 2 * pair + half;
#pragma unroll
                    for (int i = 0; i < 2; ++i) {
                        n[tile][2 * i] *= both_of[tile].z;
                        n[tile][2 * i + 1] *= both_of[tile].w;
                    }
                }
                as_left(late[pair], n[2 * pair], n[2 * pair + 1]);
            }
        };
        auto carry = [&](int from, int to) {
#pragma unroll
            for (int step = from; step < to; ++step)
                group_columns(s, late[step], by_columns + step * 128, 1);
            group_commit();
        };
        group_fence();
        // The first 32 tokens need nothing of the last: their update runs while the last are solved.
        uint32_t first[2][4] = {{mid[0][0], mid[0][1], mid[0][2], mid[0][3]},
                                {mid[1][0], mid[1][1], mid[1][2], mid[1][3]}};
#pragma unroll
        for (int step = 0; step < 2; ++step)
            group_half_rows(n, first[step], solve + step * 2, step > 0);
        group_commit();
#pragma unroll
        for (int step = 0; step < 4; ++step)
            group_half_rows(n + 4, step < 2 ? first[step & 1] : mid[step],
                            solve + (4096 >> 4) + step * 2, step > 0);
        group_commit();
        group_wait<1>();
        finish(0, 2);
        group_fence();
        carry(0, 2);
        group_wait<1>();
        finish(2, 4);
        group_fence();
        carry(2, 4);
        if (!ENDS) {
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) stmatrix(left_address(values, warp, pair), mid[pair]);
            async_fence();
            __syncwarp();
            if (lane == 0) barrier_arrive(w.published + group * 8);
        }
        group_wait<0>();
#pragma unroll
        for (int step = 0; step < 8; ++step) as_left(left[step], s[2 * step], s[2 * step + 1]);
        __syncwarp();
        if (lane == 0) barrier_arrive(w.empty + chunk % DEPTH * 8);
    }
    if constexpr (ENDS) {
        char* to = in.ends + ((static_cast<long long>(w.item.ends + w.item.segment) * kHeads + w.head) * 4 +
                              (identity ? 2 : part)) * kEnd;
        if (!identity) {
            uint4* fragments = reinterpret_cast<uint4*>(to) + warp * 256 + lane;
#pragma unroll
            for (int pair = 0; pair < 8; ++pair) {
                uint32_t x[4];
                as_left(x, s[2 * pair], s[2 * pair + 1]);
                fragments[pair * 32] = make_uint4(x[0], x[1], x[2], x[3]);
            }
            return;
        }
        // Through shared memory, where no tile is in use any more, so that whole lines leave.
        named_barrier(1, GROUPS * kThreads);
        char* place = shared + (group * 4 + warp) * 4096;
#pragma unroll
        for (int step = 0; step < 8; ++step)
            stmatrix(left_address(shared_address(place) + (step >> 2) * 2048, 0, step & 3), left[step]);
        __syncwarp();
        to += (row0 + warp * 16) * 128;
#pragma unroll
        for (int i = 0; i < 8; ++i)
            store_now(to + i / 4 * (kEnd / 2) + i % 4 * 512 + lane * 16,
                      *reinterpret_cast<const uint4*>(place + i * 512 + lane * 16));
        return;
    }
    if (w.item.segment + 1 == w.item.segments) store_state(s, in.new_state + place + warp * 16 * kSize);
}

// The group that answers the queries of a chunk, tokens as rows of its products, from the state that
// the chunk begins with and its solved values; its first thread feeds the block.
template <int DEPTH, int GROUPS>
__device__ __forceinline__ void answer_queries(const Inputs& in, const Walk& w, const Maps& maps, char* shared) {
    typedef Feeder<false, DEPTH, GROUPS> Feed;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3;
    const bool feeds = threadIdx.x == GROUPS * kThreads;
    if (feeds) Feed::begin(in, w, maps);
    __syncwarp();
    uint16_t* output = in.output + (w.first_token * kHeads + w.head) * kSize + w.first_part * kRows;
#pragma unroll 1
    for (int chunk = 0; chunk < w.chunks; ++chunk) {
        barrier_wait(w.full + chunk % DEPTH * 8, (chunk / DEPTH) & 1);
        char* stage = shared + chunk % DEPTH * Feed::kStageBytes;
        const uint32_t address = shared_address(stage);
        const uint64_t asked = right_operand(address + kTile, 16, 1024);
        const uint64_t mixed = right_operand(address + Feed::kInverseAt + kHalf, 16, 1024);
        const int row = warp * 16 + (lane >> 2), rows = rows_of(w, chunk);
        const char* factors = stage + Feed::kInverseAt + (row & 1) * 4;
        const float reach[2] = {
            in.scale * *reinterpret_cast<const float*>(factors + factors_at(row >> 1)),
            in.scale * *reinterpret_cast<const float*>(factors + factors_at((row >> 1) + 4))};
        const int token = warp * 16 + (lane >> 3), column = (lane & 7) * 8;
        uint16_t* to = output + static_cast<long long>(chunk * kChunk + token) * (kHeads * kSize) + column;
        float o[GROUPS * 8][4];
        const uint64_t states = right_operand(w.states, 16, 1024);
        const uint64_t solved = right_operand(address + Feed::kValuesAt, 16, 1024);
        auto multiply = [&](uint64_t rows_of, uint64_t columns_of, int add) {
            if constexpr (GROUPS == 2)
                group_tiles_wide(o, rows_of, columns_of, add);
            else
                group_tiles(o, rows_of, columns_of, add);
        };
#pragma unroll
        for (int group = 0; group < GROUPS; ++group) barrier_wait(w.published + group * 8, chunk & 1);
        group_fence();
#pragma unroll
        for (int step = 0; step < 8; ++step)
            multiply(asked + (step >> 2) * (kHalf >> 4) + (step & 3) * 2,
                     states + (step >> 2) * (GROUPS * kHalf >> 4) + (step & 3) * 2, step > 0);
        group_commit();
        group_wait<0>();
        __syncwarp();
#pragma unroll
        for (int group = 0; group < GROUPS; ++group)
            if (lane == 0) barrier_arrive(w.answered + group * 8);
#pragma unroll
        for (int tile = 0; tile < GROUPS * 8; ++tile)
#pragma unroll
            for (int i = 0; i < 4; ++i) o[tile][i] *= reach[i >> 1];
        group_fence();
#pragma unroll
        for (int step = 0; step < 4; ++step) multiply(mixed + step * 2, solved + step * 2, 1);
        group_commit();
        group_wait<0>();
        // The answers leave through the solved values' place, which all four warps have read then.
        named_barrier(2 + GROUPS, kThreads);
#pragma unroll
        for (int pair = 0; pair < GROUPS * 4; ++pair) {
            uint32_t x[4];
            as_left(x, o[2 * pair], o[2 * pair + 1]);
            stmatrix(left_address(address + Feed::kValuesAt + (pair >> 2) * kHalf, warp, pair & 3), x);
        }
        __syncwarp();
#pragma unroll
        for (int group = 0; group < GROUPS; ++group) {
            const char* values = stage + Feed::kValuesAt + group * kHalf;
            uint4 y[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) y[i] = *reinterpret_cast<const uint4*>(values + swizzled(token + 4 * i, column));
            if (group + 1 == GROUPS) {
                async_fence();
                __syncwarp();
            if (lane == 0) barrier_arrive(w.empty + chunk % DEPTH * 8);
            }
#pragma unroll
            for (int i = 0; i < 4; ++i)
                if (token + 4 * i < rows) store_now(to + group * kRows + 4 * i * kHeads * kSize, y[i]);
        }
        if (feeds) Feed::replace(w, maps, chunk);
        __syncwarp();
    }
}

// Walks through one segment: of a block's warps the last four answer and feed, or only feed.
template <bool ENDS, int DEPTH, int GROUPS>
__device__ __forceinline__ void walk(const Inputs& in, const Maps& maps) {
    constexpr int kParts = (ENDS ? 4 : 2) / GROUPS, kWalkers = GROUPS * kThreads;
    char* shared = dynamic_shared();
    Walk w;
    w.group = __shfl_sync(0xffffffffu, threadIdx.x >> 7, 0);
    w.head = blockIdx.x / kParts % kHeads, w.first_part = blockIdx.x % kParts * GROUPS;
    if (threadIdx.x == kWalkers) {
        prefetch_map(&maps.k);
        prefetch_map(&maps.v);
        if (!ENDS) prefetch_map(&maps.q);
    }
    w.item = item_of(in, blockIdx.x / (kParts * kHeads), ENDS, shared);
    if (w.item.sequence < 0) {
        // What comes after this kernel counts on it for what came before.
        if (DEPENDENT) dependency_wait();
        return;
    }
    w.start = start_of(in, w.item.sequence), w.end = start_of(in, w.item.sequence + 1);
    if (w.end <= w.start) {
        if (!ENDS && threadIdx.x < kWalkers)
            store_zeros(in.new_state + state_at(w.item.sequence, w.head, (w.first_part + threadIdx.x / kThreads) % 2 * kRows));
        return;
    }
    const int all = static_cast<int>((w.end - w.start + kChunk - 1) / kChunk);
    const int each = (all + w.item.segments - 1) / w.item.segments, before = w.item.segment * each;
    w.chunks = min(each, all - before);
    const int slot = static_cast<int>(w.start / kChunk) + w.item.sequence + before;
    w.first_token = w.start + static_cast<long long>(before) * kChunk;
    w.images = in.images + (static_cast<long long>(slot) * kHeads + w.head) * kImage;
    w.stages = shared_address(shared);
    w.states = w.stages + DEPTH * Feeder<ENDS, DEPTH, GROUPS>::kStageBytes;
    w.full = w.states + (ENDS ? 0 : GROUPS * kTile), w.empty = w.full + 8 * DEPTH;
    w.came = w.empty + 8 * DEPTH, w.went = w.came + 24, w.published = w.went + 24, w.answered = w.published + 16;
    if (threadIdx.x == kWalkers) {
#pragma unroll
        for (int i = 0; i < DEPTH; ++i) {
            barrier_init(w.full + 8 * i, 1);
            barrier_init(w.empty + 8 * i, 4 * GROUPS + (ENDS ? 0 : 4));
        }
        if (!ENDS) {
#pragma unroll
            for (int i = 0; i < 3; ++i) {
                barrier_init(w.came + 8 * i, 1);
                barrier_init(w.went + 8 * i, 4 * GROUPS);
            }
#pragma unroll
            for (int i = 0; i < GROUPS; ++i) {
                barrier_init(w.published + 8 * i, 4);
                barrier_init(w.answered + 8 * i, 4);
            }
        }
        barrier_init_fence();
    }
    __syncthreads();
    if constexpr (ENDS) {
        if (w.group < GROUPS) {
            if constexpr (GROUPS == 1) more_registers<200>();
            if constexpr (GROUPS == 2) more_registers<208>();
            carry_state<ENDS, DEPTH, GROUPS>(in, w, shared);
        } else {
            if constexpr (GROUPS == 1) fewer_registers<48>();
            if constexpr (GROUPS == 2) fewer_registers<80>();
            if (threadIdx.x == kWalkers) {
                Feeder<ENDS, DEPTH, GROUPS>::begin(in, w, maps);
#pragma unroll 1
                for (int c = 0; c < w.chunks; ++c) Feeder<ENDS, DEPTH, GROUPS>::replace(w, maps, c);
            }
        }
    } else {
        // Two groups that carry 64 rows and one that answers share out the registers.
        if (w.group < GROUPS) {
            if constexpr (GROUPS == 2) more_registers<200>();
            carry_state<ENDS, DEPTH, GROUPS>(in, w, shared);
        } else {
            if constexpr (GROUPS == 2) fewer_registers<104>();
            answer_queries<DEPTH, GROUPS>(in, w, maps, shared);
        }
    }
}

template <int GROUPS>
__global__ void __launch_bounds__((GROUPS + 1) * kThreads, 1) chain(const Inputs in, const __grid_constant__ Maps maps) {
    walk<false, STAGES, GROUPS>(in, maps);
}
template <int DEPTH, int GROUPS>
__global__ void __launch_bounds__((GROUPS + 1) * kThreads, 3 - GROUPS)
    ends(const Inputs in, const __grid_constant__ Maps maps) {
    launch_dependents();
    walk<true, DEPTH, GROUPS>(in, maps);
}
#else
template <int, int>
__global__ void ends(const Inputs, const __grid_constant__ Maps) {
    launch_dependents();
    dependency_wait();
}
template <int>
__global__ void __launch_bounds__(kThreads) chain(const Inputs in, const __grid_constant__ Maps) {
    char* shared = dynamic_shared();
    const int head = blockIdx.x / 2 % kHeads, row0 = blockIdx.x % 2 * kRows;
    const int sequence = blockIdx.x / (2 * kHeads);
    if (sequence >= in.sequences) return;
    const long long start = start_of(in, sequence), end = start_of(in, sequence + 1);
    const long long place = state_at(sequence, head, row0);
    if (end <= start) {
        store_zeros(in.new_state + place);
        return;
    }
    const int chunks = static_cast<int>((end - start + kChunk - 1) / kChunk);
    const int slot = static_cast<int>(start / kChunk) + sequence;
    const uint32_t stages = shared_address(shared);
    const char* images = in.images + (static_cast<long long>(slot) * kHeads + head) * kImage;
    auto rows_of = [&](int chunk) {
        return static_cast<int>(
            min(static_cast<long long>(kChunk), end - start - static_cast<long long>(chunk) * kChunk));
    };
    auto tokens = [&](int chunk) {
        bring_tokens<4, kThreads>(in, stages + chunk % 2 * kStage,
                     start + static_cast<long long>(chunk) * kChunk, rows_of(chunk), head, row0);
    };
    auto image = [&](int chunk) {
        bring_image(stages + chunk % 2 * kStage + 2 * kTile + kHalf,
                    images + static_cast<long long>(chunk) * kHeads * kImage);
    };
    for (int c = 0; c < 2 - 1 && c < chunks; ++c) tokens(c);
    const int warp = threadIdx.x >> 5;
    State s;
    if (in.state)
        load_state(s, in.state + place + warp * 16 * kSize);
    else
#pragma unroll
        for (int i = 0; i < 64; ++i) s[i / 4][i % 4] = 0.0f;
    if (DEPENDENT) dependency_wait();
    for (int c = 0; c < 2 - 1; ++c) {
        if (c < chunks) image(c);
        copy_commit();
    }
    uint16_t* output = in.output + (start * kHeads + head) * kSize + row0;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        copy_wait<2 - 2>();
        __syncthreads();
        if (const int next = chunk + 2 - 1; next < chunks) {
            tokens(next);
            image(next);
        }
        copy_commit();
        walk_chunk<4>(s, shared + chunk % 2 * kStage,
                   output + static_cast<long long>(chunk) * kChunk * kHeads * kSize, rows_of(chunk),
                   in.scale);
    }
    store_state(s, in.new_state + place + warp * 16 * kSize);
}

#endif

// ---------------------------------------------------------------------------------------------
// Prompts so short that chunks do not pay: four tokens at a time, in float32

constexpr int kFour = 4, kRecurRows = 8;  // a block's warps have two rows of the state each
// What four tokens need besides k, q and v, [tokens after, tokens before] where there are two.
struct Four {
    float mix[4][4];     // -beta_i exp(G_i - G_j) k_i.k_j, j < i
    float answer[4][4];  // scale exp(G_i - G_j) q_i.k_j, j <= i
    float reach[4];      // -beta_i exp(G_i)
    float beta[4];
    float ask[4];     // scale exp(G_i)
    float remain[4];  // exp(G_end - G_j)
    float kept;       // exp(G_end)
    float unused[3];
};

// WIDE: keys and queries lie there in float32 too, which saves an instruction an element at every use.
constexpr int recur_shared(int tokens, bool wide) {
    const int padded = (tokens + 15) / 16 * 16;
    return padded * (4 * kSize + 2 * kRecurRows + 8 + (wide ? 8 * kSize : 0)) +
           padded / 4 * static_cast<int>(sizeof(Four));
}

// Byte of 16-byte piece `piece` of a row of 256 bytes.
__device__ __forceinline__ int piece_at(int row, int piece) {
    return row * 256 + ((piece ^ (row & 7)) << 4);
}

// The products of 16 tokens' keys and queries with the keys, of each four with themselves.
__device__ __forceinline__ void mix_sixteen(uint32_t keys, uint32_t queries, const float* running,
                                            const float* beta, Four* fours, int first, float scale) {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    float kk[2][4] = {}, qk[2][4] = {};
#pragma unroll 2
    for (int step = 0; step < 8; ++step) {
        uint32_t left[4], asked[4], right[4];
        const int row = first + (((lane >> 3) & 1) << 3) + (lane & 7);
        ldmatrix(left, keys + piece_at(row, step * 2 + (lane >> 4)));
        ldmatrix(asked, queries + piece_at(row, step * 2 + (lane >> 4)));
        const int column = first + ((lane >> 4) << 3) + (lane & 7);
        ldmatrix(right, keys + piece_at(column, step * 2 + ((lane >> 3) & 1)));
#pragma unroll
        for (int n = 0; n < 2; ++n) {
            mma_bf16(kk[n], left, right[2 * n], right[2 * n + 1]);
            mma_bf16(qk[n], asked, right[2 * n], right[2 * n + 1]);
        }
    }
    // Of a lane's two rows the upper meets the first eight tokens, the lower the last.
#pragma unroll
    for (int n = 0; n < 2; ++n) {
        const int i = g + 8 * n;
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            const int j = 8 * n + 2 * t + e;
            if (i / 4 != j / 4) continue;
            Four& four = fours[(first + i) / 4];
            const float decay = __expf(running[first + i] - running[first + j]);
            four.mix[i & 3][j & 3] = j < i ? -beta[first + i] * decay * kk[n][2 * n + e] : 0.0f;
            four.answer[i & 3][j & 3] = j <= i ? scale * decay * qk[n][2 * n + e] : 0.0f;
        }
    }
}

__device__ __forceinline__ void widen8(float (&x)[8], const uint4& from) {
    const uint32_t parts[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        x[2 * i] = __uint_as_float(parts[i] << 16);
        x[2 * i + 1] = __uint_as_float(parts[i] & 0xffff0000u);
    }
}

template <bool WIDE>
__global__ void __launch_bounds__(kThreads) recur(const Inputs in) {
    char* shared = dynamic_shared();
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, piece = lane & 15;
    const int tile = blockIdx.x % (kSize / kRecurRows), head = blockIdx.x / (kSize / kRecurRows) % kHeads;
    const int sequence = blockIdx.x / (kSize / kRecurRows * kHeads);
    const int row = tile * kRecurRows + warp * 2 + (lane >> 4);
    // A lane's eight columns: of float32 four and four, so that sixteen lanes meet all banks.
    constexpr int kUpper = WIDE ? 64 : 4;
    const long long place = state_at(sequence, head, row) + piece * (WIDE ? 4 : 8);
    if (!(ONE_KNOWN && in.sequences == 1)) {
        // All tokens of this head are asked for while the bounds of the sequences are on their way.
        const int all = static_cast<int>(in.tokens);
#pragma unroll 1
        for (int i = threadIdx.x; i < 2 * all; i += kThreads) {
            const long long at = (static_cast<long long>(i / 2) * kQkHeads + head / 2) * kSize + i % 2 * 64;
            prefetch_line(in.k + at);
            prefetch_line(in.q + at);
        }
#pragma unroll 1
        for (int i = threadIdx.x; i < all; i += kThreads) {
            prefetch_line(in.v + (static_cast<long long>(i) * kHeads + head) * kSize + tile * kRecurRows);
            if (i % 8 == 0) prefetch_line(in.a + static_cast<long long>(i) * kHeads);
            if (i % 8 == 4) prefetch_line(in.b + static_cast<long long>(i) * kHeads);
        }
    }
    float s[8] = {};
    if (in.state) {
        const float4 low = *reinterpret_cast<const float4*>(in.state + place);
        const float4 high = *reinterpret_cast<const float4*>(in.state + place + kUpper);
        s[0] = low.x, s[1] = low.y, s[2] = low.z, s[3] = low.w;
        s[4] = high.x, s[5] = high.y, s[6] = high.z, s[7] = high.w;
    }
    const float rate = __expf(in.A_log[head]), bias = in.dt_bias[head];
    const long long start = start_of(in, sequence), end = start_of(in, sequence + 1);
    const int count = static_cast<int>(max(0ll, end - start)), padded = (count + 15) / 16 * 16;
    char* keys = shared;
    char* queries = keys + padded * 256;
    char* values = queries + padded * 256;
    float* running = reinterpret_cast<float*>(values + padded * 2 * kRecurRows);
    float* beta = running + padded;
    Four* fours = reinterpret_cast<Four*>(beta + padded);
    {
        const bf16_ptr k = in.k + (start * kQkHeads + head / 2) * kSize + threadIdx.x % 16 * 8;
        const bf16_ptr q = in.q + (start * kQkHeads + head / 2) * kSize + threadIdx.x % 16 * 8;
        const uint32_t k_to = shared_address(keys), q_to = shared_address(queries);
#pragma unroll 2
        for (int i = threadIdx.x / 16; i < padded; i += kThreads / 16) {
            const int from = i < count ? i * kQkHeads * kSize : 0;
            copy_async16(k_to + piece_at(i, threadIdx.x % 16), k + from, i < count);
            copy_async16(q_to + piece_at(i, threadIdx.x % 16), q + from, i < count);
        }
#pragma unroll 1
        for (int i = threadIdx.x; i < padded; i += kThreads)
            copy_async16(shared_address(values) + i * 16,
                         in.v + ((start + (i < count ? i : 0)) * kHeads + head) * kSize +
                             tile * kRecurRows,
                         i < count);
        copy_commit();
    }
#pragma unroll 1
    for (int base = 0; base < padded; base += kThreads) {
        const int token = base + threadIdx.x;
        float sum = 0.0f, gate = 0.0f;
        if (token < count) {
            const long long at = (start + token) * kHeads + head;
            const float x = widened(in.a[at]) + bias;
            const float softplus = fmaxf(x, 0.0f) + log1pf(__expf(-fabsf(x)));
            sum = fmaxf(-rate * softplus, -1e30f);
            gate = __fdividef(1.0f, 1.0f + __expf(-widened(in.b[at])));
        }
        const int i = lane & 3;
#pragma unroll
        for (int d = 1; d < 4; d *= 2) {
            const float other = __shfl_up_sync(0xffffffffu, sum, d);
            sum += i >= d ? other : 0.0f;
        }
        const float last = __shfl_sync(0xffffffffu, sum, lane | 3);
        if (token < padded) {
            running[token] = sum;
            beta[token] = gate;
            Four& four = fours[token / 4];
            const float decay = __expf(sum);
            four.reach[i] = -gate * decay;
            four.beta[i] = gate;
            four.ask[i] = in.scale * decay;
            four.remain[i] = __expf(last - sum);
            if (i == 3) four.kept = decay;
        }
    }
    copy_wait<0>();
    __syncthreads();
#pragma unroll 1
    for (int first = warp * 16; first < padded; first += 64)
        mix_sixteen(shared_address(keys), shared_address(queries), running, beta, fours, first, in.scale);
    // Keys, then queries, a row of 128 each.
    float* wide = reinterpret_cast<float*>(fours + padded / 4);
    if constexpr (WIDE)
#pragma unroll 2
        for (int i = threadIdx.x; i < 2 * padded * 16; i += kThreads) {
            float x[8];
            widen8(x, *reinterpret_cast<const uint4*>(keys + piece_at(i / 16, i % 16)));
            float4* to = reinterpret_cast<float4*>(wide + i * 8);
            to[0] = make_float4(x[0], x[1], x[2], x[3]);
            to[1] = make_float4(x[4], x[5], x[6], x[7]);
        }
    __syncthreads();
    const int mine = lane >> 2 & 3;  // the token of four whose answer these lanes find
    uint16_t* output = in.output + (start * kHeads + head) * kSize + row;
    const uint16_t* value = reinterpret_cast<const uint16_t*>(values) + warp * 2 + (lane >> 4);
    // Queries of the next four tokens come while these four's are reduced; keys, which the update still
    // needs, behind it: in the same registers.
    typedef float Rows[4][8];
    uint4 next_k[4], next_q[4];
    Rows k, q;
    auto bring = [&](Rows& x, uint4 (&narrow)[4], const char* from, const float* wide_from, int first) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if constexpr (WIDE) {
                const float* at = wide_from + (first + i) * kSize + piece * 4;
                const float4 low = *reinterpret_cast<const float4*>(at), high = *reinterpret_cast<const float4*>(at + 64);
                x[i][0] = low.x, x[i][1] = low.y, x[i][2] = low.z, x[i][3] = low.w;
                x[i][4] = high.x, x[i][5] = high.y, x[i][6] = high.z, x[i][7] = high.w;
            } else {
                narrow[i] = *reinterpret_cast<const uint4*>(from + piece_at(first + i, piece));
            }
        }
    };
    if (count > 0) bring(k, next_k, keys, wide, 0), bring(q, next_q, queries, wide + padded * kSize, 0);
#pragma unroll 1
    for (int first = 0; first < count; first += kFour) {
        const Four& four = fours[first / 4];
        float u[4], r[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if constexpr (!WIDE) {
                widen8(k[i], next_k[i]);
                widen8(q[i], next_q[i]);
            }
            r[i] = q[i][0] * s[0], u[i] = k[i][0] * s[0];
        }
        // The sums of eight tokens side by side, no two of one in a row.
#pragma unroll
        for (int e = 1; e < 8; ++e)
#pragma unroll
            for (int i = 0; i < 4; ++i) r[i] += q[i][e] * s[e], u[i] += k[i][e] * s[e];
        const int next = first + kFour;
        if (next < count) {
            bring(q, next_q, queries, wide + padded * kSize, next);
            if constexpr (!WIDE) bring(k, next_k, keys, wide, next);
        }
#pragma unroll
        for (int d = 8; d >= 1; d /= 2)
#pragma unroll
            for (int i = 0; i < 4; ++i) u[i] += __shfl_xor_sync(0xffffffffu, u[i], d);
        const float4 reach = *reinterpret_cast<const float4*>(four.reach);
        const float4 rates = *reinterpret_cast<const float4*>(four.beta);
        float x[4] = {rates.x * widened(value[first * kRecurRows]) + reach.x * u[0],
                      rates.y * widened(value[(first + 1) * kRecurRows]) + reach.y * u[1],
                      rates.z * widened(value[(first + 2) * kRecurRows]) + reach.z * u[2],
                      rates.w * widened(value[(first + 3) * kRecurRows]) + reach.w * u[3]};
#pragma unroll
        for (int i = 1; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < i; ++j) x[i] += four.mix[i][j] * x[j];
        // Each of four lanes in a row ends with the sum of one token.
        const bool upper = lane & 8, odd = lane & 4;
        const float r0 = (upper ? r[2] : r[0]) + __shfl_xor_sync(0xffffffffu, upper ? r[0] : r[2], 8);
        const float r1 = (upper ? r[3] : r[1]) + __shfl_xor_sync(0xffffffffu, upper ? r[1] : r[3], 8);
        float sum = (odd ? r1 : r0) + __shfl_xor_sync(0xffffffffu, odd ? r0 : r1, 4);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        const float4 answer = *reinterpret_cast<const float4*>(four.answer[mine]);
        sum = four.ask[mine] * sum + answer.x * x[0] + answer.y * x[1] + answer.z * x[2] + answer.w * x[3];
        if ((lane & 3) == 0 && first + mine < count)
            output[static_cast<long long>(first + mine) * kHeads * kSize] = narrowed(sum);
        const float4 remain = *reinterpret_cast<const float4*>(four.remain);
        x[0] *= remain.x, x[1] *= remain.y, x[2] *= remain.z, x[3] *= remain.w;
        const float kept = four.kept;
#pragma unroll
        for (int e = 0; e < 8; ++e)
            s[e] = kept * s[e] + x[0] * k[0][e] + x[1] * k[1][e] + x[2] * k[2][e] + x[3] * k[3][e];
        if constexpr (WIDE)
            if (next < count) bring(k, next_k, keys, wide, next);
    }
    if (count == 0)
#pragma unroll
        for (int e = 0; e < 8; ++e) s[e] = 0.0f;
    *reinterpret_cast<float4*>(in.new_state + place) = make_float4(s[0], s[1], s[2], s[3]);
    *reinterpret_cast<float4*>(in.new_state + place + kUpper) = make_float4(s[4], s[5], s[6], s[7]);
}

long long image_bytes(long long tokens, int sequences) {
    return tokens <= SHORT_TOKENS ? 0 : (tokens / kChunk + sequences) * kHeads * kImage;
}

template <class Kernel, class... Arguments>
static cudaError_t launch(Kernel* kernel, dim3 grid, int threads, int shared, bool dependent, void* stream,
                          const Arguments&... arguments) {
    if (cudaError_t error =
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared))
        return error;
    cudaLaunchAttribute attribute;
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared;
    config.stream = static_cast<cudaStream_t>(stream);
    config.attrs = &attribute;
    config.numAttrs = dependent ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// Few sequences: the two halves of a head have a processor each.
static bool has_few(const Inputs& in) { return in.sequences <= 6 && in.tokens <= 6500; }

long long plan_segments(Inputs& in) {
    // As many segments as there are processors for, 16 blocks each, or 8, and twice as many of their ends.
    in.least_cut = has_few(in) && in.tokens > 1500 ? 8 : 12;
    in.split = in.tokens > 11 * kChunk && in.sequences <= kMostRanked;
    in.most_ends = !in.split ? 0 : has_few(in) ? 7 : 14;
    return static_cast<long long>(in.most_ends) * kHeads * 4 * kEnd;
}

bool needs_maps(long long tokens) { return tokens > SHORT_TOKENS; }

// Whether the device has products of four warps: the portable walk is another kernel.
static bool has_groups() {
    static const int major = [] {
        int device = 0, found = 0;
        cudaGetDevice(&device);
        cudaDeviceGetAttribute(&found, cudaDevAttrComputeCapabilityMajor, device);
        return found;
    }();
    return major == 9;
}

int launch_gated_delta(const Inputs& in, const Maps& maps, long long tokens, void* stream) {
    if (in.sequences == 0) return cudaSuccess;
    if (tokens <= SHORT_TOKENS) {
        const dim3 blocks(kSize / kRecurRows * kHeads * in.sequences);
        // A processor has a block of each sequence.
        const int wide = recur_shared(static_cast<int>(tokens), true);
        if (static_cast<long long>(wide) * in.sequences <= 220000) return launch(recur<true>, blocks, kThreads, wide, false, stream, in);
        return launch(recur<false>, blocks, kThreads, recur_shared(static_cast<int>(tokens), false), false, stream, in);
    }
    const unsigned chunks = static_cast<unsigned>(tokens / kChunk + in.sequences);
    // Four warps where blocks share a processor; with one each, eight are done sooner.
    const unsigned prepared = chunks * kHeads;
    if (cudaError_t error =
            prepared <= kProcessors  ? launch(prepare<1, 8, false>, dim3(chunks, kHeads), 256, prepare_shared(1), false, stream, in, maps)
            : prepared <= MOST_BY_HEAD ? launch(prepare<1, 4, false>, dim3(chunks, kHeads), 128, prepare_shared(1), false, stream, in, maps)
            : tokens <= 5000         ? launch(prepare<2, 4, false>, dim3(chunks, kQkHeads), 128, prepare_shared(2), false, stream, in, maps)
            : prepared / 2 <= 3 * kProcessors ? launch(prepare<2, 8, false>, dim3(chunks, kQkHeads), 256, prepare_shared(2), false, stream, in, maps)
                                     // More blocks than run at once, three a processor: five of half the size do.
                                     : launch(prepare<2, 4, true>, dim3(chunks, kQkHeads), 128, prepare_shared(2, true), false, stream, in, maps))
        return error;
    // Where there are more blocks than processors the two halves of a head share one.
    const unsigned blocks = 2 * kHeads * (in.sequences + in.most_ends);
    if (!has_groups()) return launch(chain<1>, blocks, kThreads, 2 * kStage, DEPENDENT, stream, in, maps);
    const bool paired = blocks > PAIRED_ABOVE && !has_few(in), paired_ends = in.tokens > 1100;
    if (in.split) {
        const unsigned count = 4 * kHeads * in.most_ends;
        if (cudaError_t error =
                paired_ends ? launch(ends<PAIRED_STAGES, 2>, dim3(count / 2), 3 * kThreads,
                                walk_shared<true, PAIRED_STAGES, 2>(), DEPENDENT, stream, in, maps)
                       : launch(ends<STAGES, 1>, dim3(count), 2 * kThreads, walk_shared<true, STAGES, 1>(),
                                DEPENDENT, stream, in, maps))
            return error;
    }
    if (paired)
        return launch(chain<2>, dim3(blocks / 2), 3 * kThreads, walk_shared<false, STAGES, 2>(), DEPENDENT, stream, in, maps);
    return launch(chain<1>, dim3(blocks), 2 * kThreads, walk_shared<false, STAGES, 1>(), DEPENDENT, stream, in, maps);
}
