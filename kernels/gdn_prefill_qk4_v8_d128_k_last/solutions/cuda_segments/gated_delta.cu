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
#define SHORT_TOKENS 112
#define DEPENDENT 1
#define MOST_BY_HEAD 396
#define PREFETCH 1
#define ONE_KNOWN 1
#define USE_WGMMA 1

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

// Running log decays and update gates of a chunk for GROUP heads; ends with a barrier.
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
            // The bound keeps differences of running sums finite.
            sum = fmaxf(-__expf(of_head.x) * softplus, -1e30f);
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
#pragma unroll
        for (int tile = 0; tile < 2 * BLOCKS; ++tile) {
            if (tile / 2 > warp) continue;
            const int column = tile * 8 + 2 * t;
            const float2 others = *reinterpret_cast<const float2*>(&s.running[group][column]);
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int row = warp * 16 + g + 8 * i;
                const float decay0 = column <= row ? __expf(own[i] - others.x) : 0.0f;
                const float decay1 = column + 1 <= row ? __expf(own[i] - others.y) : 0.0f;
                const int at = swizzled(row, column);
                if (outer)
                    *reinterpret_cast<uint32_t*>(image + kHalf + at) =
                        pack_bf16(scale * decay0 * qk[tile][2 * i],
                                  scale * decay1 * qk[tile][2 * i + 1]);
                if (!inner) continue;
                const float mix0 = beta[i] * decay0 * kk[tile][2 * i];
                const float mix1 = beta[i] * decay1 * kk[tile][2 * i + 1];
                if (tile / 2 == warp) {
                    float* place = block + (column & 15) * 20 + (row & 15);
                    place[0] = mix0;
                    place[20] = mix1;
                } else {
                    *reinterpret_cast<uint32_t*>(
                        COMPACT ? image + swizzled(tile / 2 * 16 + (row & 15), warp * 16 + (column & 15))
                                : mixing + group * kHalf + at) = pack_bf16(mix0, mix1);
                }
            }
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
        char* image = images + group * kImage;
#pragma unroll
        for (int i = 0; i < 16; ++i) {
            inverse[i * 16 + column] = narrowed(x[i]);
            *reinterpret_cast<uint16_t*>(image + swizzled(warp * 16 + i, warp * 16 + column)) =
                narrowed(x[i]);
        }
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
            for (int n = 0; n < 2; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    found[n][e] = -found[n][e];
                    const int column = j * 16 + g + 8 * (e >> 1);
                    *reinterpret_cast<uint16_t*>(
                        image + swizzled(i * 16 + n * 8 + 2 * t + (e & 1), column)) =
                        narrowed(found[n][e]);
                }
            if (i < 3) as_left(left[i < 3 ? i : 0], found[0], found[1]);
        }
    }
    if (COMPACT) __syncthreads();
#if USE_WGMMA
    // A group's product reads all of P's tile and T's rows by halves: zeros above the diagonal.
#pragma unroll 1
    for (int i = threadIdx.x; i < GROUP * 8 * 32; i += 32 * WARPS) {
        const int which = i / 32 % 8, above = which < 6 ? which : which == 6 ? 0 : 5, piece = i % 32;
        const int row = above < 3 ? 0 : above < 5 ? 1 : 2;
        const int column = above < 3 ? above + 1 : above < 5 ? above - 1 : 3;
        *reinterpret_cast<uint4*>(images + i / 256 * kImage + (which < 6 ? kHalf : 0) +
                                  swizzled(row * 16 + piece / 2, column * 16 + piece % 2 * 8)) =
            make_uint4(0, 0, 0, 0);
    }
#endif
    if (const int group = threadIdx.x / kChunk; group < GROUP) {
        const int token = threadIdx.x % kChunk;
        const float own = s.running[group][token];
        float* factors =
            reinterpret_cast<float*>(images + group * kImage + factors_at(token / 2)) + (token & 1);
        factors[0] = __expf(own);
        factors[2] = __expf(s.running[group][kChunk - 1] - own);
        *(reinterpret_cast<float*>(images + group * kImage + gates_at(token / 2)) + (token & 1)) =
            s.beta[group][token];
    }
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

constexpr int prepare_shared(int group, bool compact = false) {
    return 2 * kTile + group * (compact ? 4 * kBlockBytes : kImage) + (group == 2 ? sizeof(Scratch<2>) : sizeof(Scratch<1>));
}

// A block prepares a chunk for GROUP heads that share a query and key head.
template <int GROUP, int WARPS, bool COMPACT>
__global__ void __launch_bounds__(32 * WARPS, COMPACT ? 5 : 3) prepare(const Inputs in) {
    launch_dependents();
    char* shared = dynamic_shared();
    const int slot = blockIdx.x, head = blockIdx.y * GROUP, qk_head = head / 2;
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
    const long long at = (first * kQkHeads + qk_head) * kSize;
    bring_tile<kSize, 4, 32 * WARPS>(shared_address(shared), in.k + at, kQkHeads * kSize, rows);
    bring_tile<kSize, 4, 32 * WARPS>(shared_address(shared) + kTile, in.q + at, kQkHeads * kSize, rows);
    copy_commit();
    char* behind = shared + 2 * kTile;
    char* images = COMPACT ? shared : behind;
    char* blocks = COMPACT ? behind : shared;
    Scratch<GROUP>& scratch = *reinterpret_cast<Scratch<GROUP>*>(
        behind + GROUP * (COMPACT ? 4 * kBlockBytes : kImage));
    compute_gates<GROUP>(in, scratch, first, rows, head, of_head);
    copy_wait<0>();
    __syncthreads();
    prepare_chunk<GROUP, 4, WARPS, COMPACT>(scratch, shared, shared + kTile, images, shared + kTile, blocks,
                     COMPACT ? blocks : shared + 4 * GROUP * kBlockBytes, in.scale);
    uint4* to = reinterpret_cast<uint4*>(
        in.images + (static_cast<long long>(slot) * kHeads + head) * kImage);
#pragma unroll 3
    for (int i = threadIdx.x; i < GROUP * kImage / 16; i += 32 * WARPS)
        to[i] = reinterpret_cast<const uint4*>(images)[i];
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
    for (int i = threadIdx.x; i < kRows * kSize / 4; i += kThreads)
        reinterpret_cast<float4*>(to)[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
}

// What a block of the chain walks: a segment of a sequence.
struct Item {
    int sequence;  // -1: none
    int segment, segments;
    int ends;  // ends of segments before this sequence's
};

// A sequence of many chunks is cut where walking its segments at once pays for combining them.
__device__ __forceinline__ int segments_of(int chunks, int least) {
    return chunks < least ? 1 : static_cast<int>(sqrtf(static_cast<float>(chunks)));
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
    if (mine < in.sequences) {
        const int length = static_cast<int>(start_of(in, mine + 1) - start_of(in, mine));
        lengths[mine] = length;
        segments[mine] = in.split ? segments_of((length + kChunk - 1) / kChunk, in.least_cut) : 1;
    }
    if (mine == 0) found[0] = -1;
    __syncthreads();
    if (mine < in.sequences) {
        const int length = lengths[mine];
        int before = 0, ends = 0;
        for (int i = 0; i < in.sequences; ++i)
            if (lengths[i] > length || (lengths[i] == length && i < mine)) {
                ++before;
                ends += segments[i] - 1;
            }
        const int first = inner ? ends : before + ends;
        if (index >= first && index < first + segments[mine] - inner) {
            found[0] = mine, found[1] = index - first, found[2] = segments[mine], found[3] = ends;
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
// With two stages two blocks share a processor, to the last kilobyte.
constexpr int kWalkStage = 2 * kTile + 3 * kHalf, kEndStage = kTile + 2 * kHalf;
constexpr int walk_shared(int stage, int stages) { return stages * stage + 96; }
// A piece of a segment's end: 64 rows of what it makes of zeros, or the upper or lower 16 bits of
// what it makes of the identity.
constexpr int kEnd = 32768;
#if USE_WGMMA && HAS_WGMMA
// The output of a chunk, packed, as rows of 16 bytes; through this warp's columns of V.
__device__ __forceinline__ void turn_output(uint4 (&y)[4], const uint32_t (&x)[4][4], char* values) {
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
#pragma unroll
    for (int pair = 0; pair < 4; ++pair)
        stmatrix_transposed(rows_address(shared_address(values), pair, warp), x[pair]);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 4; ++i)
        y[i] = *reinterpret_cast<const uint4*>(
            values + swizzled(i * 16 + (lane >> 1), warp * 16 + (lane & 1) * 8));
}
__device__ __forceinline__ void store_output(const uint4 (&y)[4], uint16_t* output, int rows) {
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    output += (lane >> 1) * kHeads * kSize + warp * 16 + (lane & 1) * 8;
#pragma unroll
    for (int i = 0; i < 4; ++i)
        if (i * 16 + (lane >> 1) < rows)
            *reinterpret_cast<uint4*>(output + i * 16 * kHeads * kSize) = y[i];
}

// Zeros in the rows of a tile that belong to no token of this sequence: what lies there could be
// anything, and nothing times anything need not be nothing.
__device__ __forceinline__ void clear_rows(char* tile, int rows) {
#pragma unroll 1
    for (int i = rows * 8 + threadIdx.x; i < kChunk * 8; i += kThreads)
        *reinterpret_cast<uint4*>(tile + i * 16) = make_uint4(0, 0, 0, 0);
}

// Walks 64 rows of a head's state through the chunks of a segment. With ENDS it walks what decides
// the segment's end, whatever its beginning will be: zeros with the values (B, parts 0 and 1), the
// identity without (M, parts 2 and 3), and no queries; end = beginning M + B. Otherwise the
// beginning is the sequence's, carried through the ends of the segments before.
template <bool ENDS, int DEPTH>
__device__ __forceinline__ void walk(const Inputs& in, const Maps& maps) {
    constexpr int kStageBytes = ENDS ? kEndStage : kWalkStage;
    constexpr int kValuesAt = ENDS ? kTile : 2 * kTile, kInverseAt = kValuesAt + kHalf;
    constexpr int kParts = ENDS ? 4 : 2;
    char* shared = dynamic_shared();
    const int head = blockIdx.x / kParts % kHeads, part = blockIdx.x % kParts;
    const int row0 = part % 2 * kRows;
    const bool identity = ENDS && part >= 2;
    if (threadIdx.x == 0) {
        prefetch_map(&maps.k);
        prefetch_map(&maps.v);
        if (!ENDS) prefetch_map(&maps.q);
    }
    const Item item = item_of(in, blockIdx.x / (kParts * kHeads), ENDS, shared);
    if (item.sequence < 0) {
        // What comes after this kernel counts on it for what came before.
        if (DEPENDENT) dependency_wait();
        return;
    }
    const long long start = start_of(in, item.sequence), end = start_of(in, item.sequence + 1);
    const long long place = state_at(item.sequence, head, row0);
    if (end <= start) {
        if (!ENDS) store_zeros(in.new_state + place);
        return;
    }
    const int all = static_cast<int>((end - start + kChunk - 1) / kChunk);
    const int each = (all + item.segments - 1) / item.segments, before = item.segment * each;
    const int chunks = min(each, all - before);
    const int slot = static_cast<int>(start / kChunk) + item.sequence + before;
    const long long first_token = start + static_cast<long long>(before) * kChunk;
    const uint32_t stages = shared_address(shared);
    auto rows_of = [&](int chunk) {
        return static_cast<int>(min(static_cast<long long>(kChunk),
                                    end - first_token - static_cast<long long>(chunk) * kChunk));
    };
    const uint32_t full = stages + DEPTH * kStageBytes;
    const uint32_t empty = full + 8 * DEPTH, came = empty + 8 * DEPTH, went = came + 24;
    const bool first_thread = threadIdx.x == 0;
    if (first_thread) {
#pragma unroll
        for (int i = 0; i < DEPTH; ++i) {
            barrier_init(full + 8 * i, 1);
            barrier_init(empty + 8 * i, 4);
        }
        if (!ENDS)
#pragma unroll
            for (int i = 0; i < 3; ++i) {
                barrier_init(came + 8 * i, 1);
                barrier_init(went + 8 * i, 4);
            }
        barrier_init_fence();
    }
    __syncthreads();
    const int lane = threadIdx.x & 31;
    // The first thread asks for everything; the copies themselves say when they are there.
    auto tokens = [&](int chunk) {
        const uint32_t stage = stages + chunk % DEPTH * kStageBytes, barrier = full + chunk % DEPTH * 8;
        const int first = static_cast<int>(first_token) + chunk * kChunk;
        barrier_expect(barrier, kTile + (ENDS ? 0 : kTile + kHalf) + (identity ? 0 : kHalf) + kHalf);
        copy_tiles(stage, &maps.k, head / 2 * 2, first, barrier);
        if (!identity) copy_tiles(stage + kValuesAt, &maps.v, head * 2 + row0 / 64, first, barrier);
        if (!ENDS) {
            copy_tiles(stage + kTile, &maps.q, head / 2 * 2, first, barrier);
        }
    };
    const char* images = in.images + (static_cast<long long>(slot) * kHeads + head) * kImage;
    auto image = [&](int chunk) {
        const uint32_t stage = stages + chunk % DEPTH * kStageBytes, barrier = full + chunk % DEPTH * 8;
        const char* from = images + static_cast<long long>(chunk) * kHeads * kImage;
        copy_bytes(stage + kInverseAt, from, ENDS ? kHalf : 2 * kHalf, barrier);
    };
    // Where the ends of the segments before are brought to, chunks come later.
    const int ahead = ENDS || item.segment == 0 ? min(DEPTH, chunks) : 0;
    if (first_thread)
        for (int c = 0; c < ahead; ++c) tokens(c);
    const int warp = threadIdx.x >> 5, t = threadIdx.x & 3;
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
    if (first_thread) {
        proxy_fence();
        for (int c = 0; c < ahead; ++c) image(c);
    }
    if (!ENDS && item.segment > 0) {
        // Beginning of the next segment = S M + B.
        auto end_of = [&](int i, int which) {
            return in.ends + ((static_cast<long long>(item.ends + i) * kHeads + head) * 4 + which) * kEnd;
        };
        auto bring_end = [&](int i) {
            barrier_expect(came + i % 3 * 8, kEnd);
            copy_bytes(stages + i % 3 * kEnd, end_of(i, 2), kEnd, came + i % 3 * 8);
        };
        if (first_thread)
            for (int i = 0; i < min(3, item.segment); ++i) bring_end(i);
        float4 made[16];
        auto load_made = [&](int i) {
            const float4* from = reinterpret_cast<const float4*>(end_of(i, part)) + warp * 512 + lane;
#pragma unroll
            for (int tile = 0; tile < 16; ++tile) made[tile] = from[tile * 32];
        };
        load_made(0);
#pragma unroll 1
        for (int i = 0; i < item.segment; ++i) {
            uint32_t left[8][4];
#pragma unroll
            for (int step = 0; step < 8; ++step) as_left(left[step], s[2 * step], s[2 * step + 1]);
            const uint64_t end = right_operand(stages + i % 3 * kEnd, kEnd / 2, 1024);
            barrier_wait(came + i % 3 * 8, i / 3 & 1);
            group_fence();
#pragma unroll
            for (int step = 0; step < 8; ++step) group_columns(s, left[step], end + step * 128, step > 0);
            group_commit();
            group_wait<0>();
            __syncwarp();
            if (lane == 0) barrier_arrive(went + i % 3 * 8);
            if (first_thread && i + 3 < item.segment) {
                barrier_wait(went + i % 3 * 8, i / 3 & 1);
                bring_end(i + 3);
            }
            __syncwarp();
#pragma unroll
            for (int tile = 0; tile < 16; ++tile) {
                s[tile][0] += made[tile].x, s[tile][1] += made[tile].y;
                s[tile][2] += made[tile].z, s[tile][3] += made[tile].w;
            }
            if (i + 1 < item.segment) load_made(i + 1);
        }
        if (first_thread) {
            for (int i = max(0, item.segment - 3); i < item.segment; ++i)
                barrier_wait(went + i % 3 * 8, i / 3 & 1);
            for (int c = 0; c < min(DEPTH, chunks); ++c) {
                tokens(c);
                image(c);
            }
        }
        __syncwarp();
    }
    uint16_t* output = in.output + (first_token * kHeads + head) * kSize + row0;
    uint32_t left[8][4], packed[4][4];
#pragma unroll
    for (int step = 0; step < 8; ++step) as_left(left[step], s[2 * step], s[2 * step + 1]);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        barrier_wait(full + chunk % DEPTH * 8, (chunk / DEPTH) & 1);
        char* stage = shared + chunk % DEPTH * kStageBytes;
        if (const int rows = rows_of(chunk); !ENDS && rows < kChunk) {
            clear_rows(stage, rows);
            clear_rows(stage + kHalf, rows);
            clear_rows(stage + 2 * kTile, rows);
            async_fence();
            named_barrier(1, kThreads);
        }
        const uint32_t keys = shared_address(stage), values = keys + kValuesAt;
        const char* factors = stage + kInverseAt;
        // One addition away from every operand: an address in pieces of 16 bytes is its lowest part.
        const uint64_t by_rows = right_operand(keys, 16, 1024), asked = by_rows + (kTile >> 4);
        const uint64_t by_columns = right_operand(keys, kHalf, 1024);
        const uint64_t solve = by_rows + (kInverseAt >> 4);
        float u[8][4], o[8][4];
        group_fence();
#pragma unroll
        for (int step = 0; step < 8; ++step)
            group_rows(u, left[step], by_rows + (step >> 2) * (kHalf >> 4) + (step & 3) * 2, step > 0);
        group_commit();
        auto ask = [&](int from, int to) {
#pragma unroll
            for (int step = from; step < to; ++step)
                group_rows(o, left[step], asked + (step >> 2) * (kHalf >> 4) + (step & 3) * 2, step > 0);
            group_commit();
        };
        // The second half of the queries' product waits for the gap behind the inverse's.
        if (!ENDS) ask(0, 4);
        // All that the products' results meet is in registers before they are.
        uint32_t values_of[4][4];
        float4 both_of[8];
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) ldmatrix_transposed(values_of[pair], rows_address(values, pair, warp));
#pragma unroll
        for (int tile = 0; tile < 8; ++tile) both_of[tile] = factors_of(factors, tile * 4 + t);
        // While these run: the last chunk's output, and what comes into its place.
        if (chunk > 0) {
            if (!ENDS) {
                uint4 rows[4];
                turn_output(rows, packed, shared + (chunk - 1) % DEPTH * kStageBytes + kValuesAt);
                async_fence();
                __syncwarp();
                if (lane == 0) barrier_arrive(empty + (chunk - 1) % DEPTH * 8);
                store_output(rows, output + static_cast<long long>(chunk - 1) * kChunk * kHeads * kSize,
                             kChunk);
            }
            if (first_thread && chunk - 1 + DEPTH < chunks) {
                barrier_wait(empty + (chunk - 1) % DEPTH * 8, (chunk - 1) / DEPTH & 1);
                tokens(chunk - 1 + DEPTH);
                image(chunk - 1 + DEPTH);
            }
            __syncwarp();
        }
        group_wait<ENDS ? 0 : 1>();
        uint32_t mid[4][4];
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) {
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const int tile = 2 * pair + n;
                const float2 gate = gates_of(factors, tile * 4 + t);
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const uint32_t both = identity ? 0 : values_of[pair][2 * n + i];
                    u[tile][2 * i] =
                        gate.x * (__uint_as_float(both << 16) - both_of[tile].x * u[tile][2 * i]);
                    u[tile][2 * i + 1] = gate.y * (__uint_as_float(both & 0xffff0000u) -
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
                as_left(mid[pair], n[2 * pair], n[2 * pair + 1]);
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
        auto decay_state = [&] {
            const float kept = read_now(shared_address(factors) + factors_at(kChunk / 2 - 1) + 4);
#pragma unroll
            for (int tile = 0; tile < 16; ++tile)
#pragma unroll
                for (int e = 0; e < 4; ++e) s[tile][e] *= kept;
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
        if (!ENDS) ask(4, 8);
        decay_state();
        group_wait<ENDS ? 1 : 2>();
        finish(0, 2);
        group_fence();
        carry(0, 2);
        group_wait<ENDS ? 1 : 2>();
        finish(2, 4);
        group_fence();
        carry(2, 4);
        if (!ENDS) {
            // The queries' product is done where only the update is outstanding.
            group_wait<2>();
#pragma unroll
            for (int tile = 0; tile < 8; ++tile) {
                const float2 reach = reach_of(factors, tile * 4 + t);
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    o[tile][2 * i] *= in.scale * reach.x;
                    o[tile][2 * i + 1] *= in.scale * reach.y;
                }
            }
            group_fence();
#pragma unroll
            for (int step = 0; step < 4; ++step)
                group_rows(o, mid[step], solve + (kHalf >> 4) + step * 2, 1);
            group_commit();
        }
        group_wait<ENDS ? 0 : 1>();
#pragma unroll
        for (int step = 0; step < 8; ++step) as_left(left[step], s[2 * step], s[2 * step + 1]);
        if (!ENDS) group_wait<0>();
        if (ENDS) {
            __syncwarp();
            if (lane == 0) barrier_arrive(empty + chunk % DEPTH * 8);
            continue;
        }
#pragma unroll
        for (int pair = 0; pair < 4; ++pair)
#pragma unroll
            for (int half = 0; half < 2; ++half)
#pragma unroll
                for (int i = 0; i < 2; ++i)
                    packed[pair][2 * half + i] = pack_bf16(o[2 * pair + half][2 * i],
                                                           o[2 * pair + half][2 * i + 1]);
    }
    if constexpr (ENDS) {
        char* to = in.ends + ((static_cast<long long>(item.ends + item.segment) * kHeads + head) * 4 +
                              (identity ? 2 : part)) * kEnd;
        if (!identity) {
            float4* fragments = reinterpret_cast<float4*>(to) + warp * 512 + lane;
#pragma unroll
            for (int tile = 0; tile < 16; ++tile)
                fragments[tile * 32] = make_float4(s[tile][0], s[tile][1], s[tile][2], s[tile][3]);
            return;
        }
#pragma unroll
        for (int tile = 0; tile < 16; ++tile)
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int row = row0 + warp * 16 + (lane >> 2) + 8 * i;
                const float low = s[tile][2 * i], high = s[tile][2 * i + 1];
                *reinterpret_cast<uint32_t*>(to + tile / 8 * (kEnd / 2) +
                                             swizzled(row, tile % 8 * 8 + 2 * t)) = pack_bf16(low, high);
            }
        return;
    }
    uint4 rows[4];
    turn_output(rows, packed, shared + (chunks - 1) % DEPTH * kStageBytes + kValuesAt);
    store_output(rows, output + static_cast<long long>(chunks - 1) * kChunk * kHeads * kSize,
                 rows_of(chunks - 1));
    if (item.segment + 1 == item.segments) store_state(s, in.new_state + place + warp * 16 * kSize);
}

template <int DEPTH>
__global__ void __launch_bounds__(kThreads, 4 - DEPTH) chain(const Inputs in,
                                                             const __grid_constant__ Maps maps) {
    walk<false, DEPTH>(in, maps);
}
__global__ void __launch_bounds__(kThreads, 2) ends(const Inputs in,
                                                    const __grid_constant__ Maps maps) {
    launch_dependents();
    walk<true, STAGES>(in, maps);
}
#else
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

constexpr int recur_shared(int tokens) {
    const int padded = (tokens + 15) / 16 * 16;
    return padded * (4 * kSize + 2 * kRecurRows + 8) + padded / 4 * static_cast<int>(sizeof(Four));
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

__global__ void __launch_bounds__(kThreads) recur(const Inputs in) {
    char* shared = dynamic_shared();
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, piece = lane & 15;
    const int tile = blockIdx.x % (kSize / kRecurRows), head = blockIdx.x / (kSize / kRecurRows) % kHeads;
    const int sequence = blockIdx.x / (kSize / kRecurRows * kHeads);
    const int row = tile * kRecurRows + warp * 2 + (lane >> 4);
    const long long place = state_at(sequence, head, row) + piece * 8;
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
        const float4 high = *reinterpret_cast<const float4*>(in.state + place + 4);
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
    __syncthreads();
    const int mine = lane >> 2 & 3;  // the token of four whose answer these lanes find
    uint16_t* output = in.output + (start * kHeads + head) * kSize + row;
    const uint16_t* value = reinterpret_cast<const uint16_t*>(values) + warp * 2 + (lane >> 4);
    uint4 next_k[4], next_q[4];
    auto fetch = [&](int first) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            next_k[i] = *reinterpret_cast<const uint4*>(keys + piece_at(first + i, piece));
            next_q[i] = *reinterpret_cast<const uint4*>(queries + piece_at(first + i, piece));
        }
    };
    if (count > 0) fetch(0);
#pragma unroll 1
    for (int first = 0; first < count; first += kFour) {
        const Four& four = fours[first / 4];
        float k[4][8], u[4], r[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            float q[8];
            widen8(k[i], next_k[i]);
            widen8(q, next_q[i]);
            float even = k[i][0] * s[0], odd = k[i][1] * s[1];
            float asked = q[0] * s[0], other = q[1] * s[1];
#pragma unroll
            for (int e = 2; e < 8; e += 2) {
                even += k[i][e] * s[e], odd += k[i][e + 1] * s[e + 1];
                asked += q[e] * s[e], other += q[e + 1] * s[e + 1];
            }
            u[i] = even + odd, r[i] = asked + other;
        }
        if (first + kFour < count) fetch(first + kFour);
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
            s[e] = kept * s[e] + (x[0] * k[0][e] + x[1] * k[1][e]) + (x[2] * k[2][e] + x[3] * k[3][e]);
    }
    if (count == 0)
#pragma unroll
        for (int e = 0; e < 8; ++e) s[e] = 0.0f;
    *reinterpret_cast<float4*>(in.new_state + place) = make_float4(s[0], s[1], s[2], s[3]);
    *reinterpret_cast<float4*>(in.new_state + place + 4) = make_float4(s[4], s[5], s[6], s[7]);
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

long long plan_segments(Inputs& in) {
    const long long chunks = in.tokens / kChunk + in.sequences;
    // Up to 3,500 tokens there are processors to spare for short segments.
    in.least_cut = in.tokens <= 3500 ? 12 : 20;
    in.split = in.tokens > (in.least_cut - 1) * kChunk && in.sequences <= kMostRanked;
    // No count of chunks gives more ends a chunk than 16, which are cut into 4.
    in.most_ends = in.split ? static_cast<int>(chunks * 3 / 16) : 0;
    return static_cast<long long>(in.most_ends) * kHeads * 4 * kEnd;
}

bool needs_maps(long long tokens) { return tokens > SHORT_TOKENS; }

int launch_gated_delta(const Inputs& in, const Maps& maps, long long tokens, void* stream) {
    if (in.sequences == 0) return cudaSuccess;
    if (tokens <= SHORT_TOKENS)
        return launch(recur, dim3(kSize / kRecurRows * kHeads * in.sequences), kThreads,
                      recur_shared(static_cast<int>(tokens)), false, stream, in);
    const unsigned chunks = static_cast<unsigned>(tokens / kChunk + in.sequences);
    // Four warps where blocks share a processor; with one each, eight are done sooner.
    const unsigned prepared = chunks * kHeads;
    if (cudaError_t error =
            prepared <= kProcessors  ? launch(prepare<1, 8, false>, dim3(chunks, kHeads), 256, prepare_shared(1), false, stream, in)
            : prepared <= MOST_BY_HEAD ? launch(prepare<1, 4, false>, dim3(chunks, kHeads), 128, prepare_shared(1), false, stream, in)
            : tokens <= 5000         ? launch(prepare<2, 4, false>, dim3(chunks, kQkHeads), 128, prepare_shared(2), false, stream, in)
            : prepared / 2 <= 3 * kProcessors ? launch(prepare<2, 8, false>, dim3(chunks, kQkHeads), 256, prepare_shared(2), false, stream, in)
                                     // More blocks than run at once, three a processor: five of half the size do.
                                     : launch(prepare<2, 4, true>, dim3(chunks, kQkHeads), 128, prepare_shared(2, true), false, stream, in))
        return error;
    if (in.split)
        if (cudaError_t error = launch(ends, dim3(4 * kHeads * in.most_ends), kThreads,
                                       walk_shared(kEndStage, STAGES), DEPENDENT, stream, in, maps))
            return error;
    // Where there are more blocks than processors two share one, each with a stage less.
    const dim3 blocks(2 * kHeads * (in.sequences + in.most_ends));
    if (blocks.x > kProcessors)
        return launch(chain<2>, blocks, kThreads, walk_shared(kWalkStage, 2), DEPENDENT, stream, in, maps);
    return launch(chain<3>, blocks, kThreads, walk_shared(kWalkStage, 3), DEPENDENT, stream, in, maps);
}
