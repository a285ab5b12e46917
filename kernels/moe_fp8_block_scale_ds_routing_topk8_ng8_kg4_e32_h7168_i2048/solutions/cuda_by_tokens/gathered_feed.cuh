// How both kinds of products are fed: what a tile is, and the warps that fetch it.
#pragma once
#include "moe.h"
#include "pieces.cuh"

namespace gathered {
constexpr int kTile = 128 * 128;  // bytes of 128 rows and 128 terms
constexpr int kGatherers = 96;    // threads that fetch rows of tokens
constexpr int kThreads = 256 + 32 + kGatherers;
constexpr int kLag = 2;           // stages that gatherers are ahead of what they hand over

// What a block finds out of all tokens' experts.
struct Routing {
    unsigned chosen[kLocal][kFew / 32];  // a bit for each token
    uint8_t list[kLocal][kFew];          // tokens of an expert
    int8_t locals[kFew * kTop];          // of a token's choices, -1 for others' experts
};

// A tile has ROWS tokens of an expert. The first product multiplies them by up and gate rows of the
// same 128 columns; the second by HALVES times 128 neighbouring rows.
template <bool FIRST_, int ROWS_, int HALVES_, int STAGES_, bool ROUTES_ = false>
struct Shape {
    static constexpr bool FIRST = FIRST_, ROUTES = ROUTES_;  // whether it chooses the experts itself
    static constexpr int ROWS = ROWS_, HALVES = HALVES_, STAGES = STAGES_;
    static constexpr int TERMS = FIRST ? kHidden : kInner, STEPS = TERMS / 128;
    static constexpr int BLOCKS = FIRST ? kInner / 128 : kHidden / (128 * HALVES);  // of columns
    static constexpr int TOKENS_AT = HALVES * kTile;  // in a stage, behind the weights
    static constexpr int STAGE = TOKENS_AT + ROWS * 128;
    static constexpr int SCALES = ROWS + 4;  // floats a stage: of the rows, then of the weights
    static constexpr int SCALES_AT = STAGES * STAGE;
    static constexpr int BARRIERS_AT = SCALES_AT + STAGES * SCALES * 4;
    static constexpr int ROWS_AT = BARRIERS_AT + STAGES * 16;
    static constexpr int BEGIN_AT = ROWS_AT + ROWS * 4;
    static constexpr int PEAKS_AT = BEGIN_AT + 2 * 33 * 4 + 8;  // of eight warps' columns
    static constexpr int ROUTING_AT = PEAKS_AT + 8 * ROWS * 4;
    static constexpr int SHARED_BYTES = ROUTING_AT + (ROUTES ? sizeof(Routing) : 0) + 1024;
    static_assert(SHARED_BYTES <= 232448, "a block has no more");
};

// Where a tile lies: its expert, its block of columns, and its rows.
struct Place {
    int expert, block, row, rows;  // `row` is the first in the expert's list
};

// Which expert a tile belongs to, and its number among the expert's.
__device__ __forceinline__ int expert_of(int tile, const int* begin_tile) {
    return __popc(__ballot_sync(~0u, begin_tile[(threadIdx.x & 31) + 1] <= tile));
}

// Blocks take tiles in turn, each on its own.
struct Alone {
    static constexpr int RELEASES = 8;  // arrivals that empty a stage
    template <class S>
    static __device__ __forceinline__ int tiles_of(int rows) {
        return (rows + S::ROWS - 1) / S::ROWS * S::BLOCKS;
    }
    static __device__ __forceinline__ int first() { return blockIdx.x; }
    static __device__ __forceinline__ int apart() { return gridDim.x; }
    template <class S>
    static __device__ __forceinline__ Place place_of(int tile, const int* begin_row, const int* begin_tile) {
        Place p;
        p.expert = expert_of(tile, begin_tile);
        const int inside = tile - begin_tile[p.expert];
        const int rows = begin_row[p.expert + 1] - begin_row[p.expert], high = (rows + S::ROWS - 1) / S::ROWS;
        p.block = inside / high;
        p.row = (inside - p.block * high) * S::ROWS;
        p.rows = min(static_cast<int>(S::ROWS), rows - p.row);
        return p;
    }
};

// Adds up the counts, of which a lane has one: where each expert's rows and tiles begin.
template <class S, class Schedule>
__device__ __forceinline__ void find_tiles(int count, int* begin_row, int* begin_tile) {
    const int lane = threadIdx.x & 31;
    int row = count, tile = Schedule::template tiles_of<S>(count);
#pragma unroll
    for (int step = 1; step < 32; step <<= 1) {
        const int other = __shfl_up_sync(~0u, row, step), its_tile = __shfl_up_sync(~0u, tile, step);
        if (lane >= step) row += other, tile += its_tile;
    }
    begin_row[lane + 1] = row, begin_tile[lane + 1] = tile;
    if (lane == 0) begin_row[0] = begin_tile[0] = 0;
}
template <class S, class Schedule>
__device__ __forceinline__ void set_up_barriers(uint32_t base) {
    for (int stage = 0; stage < S::STAGES; ++stage) {
        barrier_init(base + S::BARRIERS_AT + stage * 16, 1 + kGatherers / 32);
        barrier_init(base + S::BARRIERS_AT + stage * 16 + 8, Schedule::RELEASES);
    }
    barrier_init_fence();
}

// A warp that asks for the weights of all stages.
template <class S, class Schedule>
__device__ __forceinline__ void fetch_weights(const CUtensorMap* map, uint32_t base,
                                              const int* begin_row, const int* begin_tile) {
    const int tiles = begin_tile[32];
    int stage = 0;
    uint32_t phase = 1;
    for (int tile = Schedule::first(); tile < tiles; tile += Schedule::apart()) {
        const Place p = Schedule::template place_of<S>(tile, begin_row, begin_tile);
        const int row = S::FIRST ? p.expert * 2 * kInner + p.block * 128
                                 : p.expert * kHidden + p.block * 128 * S::HALVES;
        constexpr int APART = S::FIRST ? kInner : 128;
        for (int step = 0; step < S::STEPS; ++step) {
            const uint32_t full = base + S::BARRIERS_AT + stage * 16, to = base + stage * S::STAGE;
            if ((threadIdx.x & 31) == 0) {
                barrier_wait(full + 8, phase);
                barrier_expect(full, S::HALVES * kTile);
#pragma unroll
                for (int half = 0; half < S::HALVES; ++half)
                    copy_tile(to + half * kTile, map, step * 128, row + half * APART, full);
            }
            __syncwarp();
            if (++stage == S::STAGES) stage = 0, phase ^= 1;
        }
    }
}

// Warps that fetch the rows of tokens, and all scales.
template <class S, class Schedule>
__device__ __forceinline__ void fetch_rows(const Inputs& in, uint32_t base,
                                           const int* begin_row, const int* begin_tile, int* rows,
                                           const Routing* routing) {
    const int tiles = begin_tile[32];
    const int thread = threadIdx.x - (kThreads - kGatherers), lane = threadIdx.x & 31;
    const uint8_t* from = S::FIRST ? in.hidden : in.inner;
    const float* scale = S::FIRST ? in.hidden_scale : in.inner_scale;
    const size_t apart = S::FIRST ? in.tokens : 1;
    int stage = 0, behind = 0, open = 0;
    uint32_t phase = 1;
    for (int tile = Schedule::first(); tile < tiles; tile += Schedule::apart()) {
        const Place p = Schedule::template place_of<S>(tile, begin_row, begin_tile);
        int mine[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int row = thread + i * kGatherers;
            mine[i] = 0;
            if (row < p.rows)
                mine[i] = S::ROUTES  ? routing->list[p.expert][p.row + row]
                          : S::FIRST ? in.list[static_cast<size_t>(p.expert) * in.tokens + p.row + row]
                                     : begin_row[p.expert] + p.row + row;
        }
        copies_wait<0>();
        proxy_fence();
        __syncwarp();
        for (; open; --open) {
            if (lane == 0) barrier_arrive(base + S::BARRIERS_AT + behind * 16);
            if (++behind == S::STAGES) behind = 0;
        }
        some_sync<1, kGatherers>();
#pragma unroll
        for (int i = 0; i < 2; ++i)
            if (thread + i * kGatherers < p.rows) rows[thread + i * kGatherers] = mine[i];
        some_sync<1, kGatherers>();
        const float* weight_scale =
            S::FIRST ? in.first_scale + (p.expert * 32 + thread * 16 + p.block) * S::STEPS
                     : in.second_scale + (p.expert * 56 + p.block * S::HALVES + thread) * S::STEPS;
        for (int step = 0; step < S::STEPS; ++step) {
            const uint32_t full = base + S::BARRIERS_AT + stage * 16, to = base + stage * S::STAGE + S::TOKENS_AT;
            const uint32_t scales = base + S::SCALES_AT + stage * S::SCALES * 4;
            barrier_wait(full + 8, phase);
#pragma unroll 2
            for (int i = thread; i < p.rows * 8; i += kGatherers) {
                const int row = i >> 3, piece = i & 7;
                copy16(to + row * 128 + ((piece ^ (row & 7)) << 4),
                       from + static_cast<size_t>(rows[row]) * S::TERMS + step * 128 + piece * 16);
            }
#pragma unroll
            for (int i = 0; i < 2; ++i)
                if (thread + i * kGatherers < p.rows)
                    copy4(scales + (thread + i * kGatherers) * 4, scale + step * apart + (S::FIRST ? mine[i] : static_cast<size_t>(mine[i]) * S::STEPS));
            if (thread < S::HALVES) copy4(scales + (S::ROWS + thread) * 4, weight_scale + step);
            copies_commit();
            if (++stage == S::STAGES) stage = 0, phase ^= 1;
            if (open == kLag) {
                copies_wait<kLag>();
                proxy_fence();
                __syncwarp();
                if (lane == 0) barrier_arrive(base + S::BARRIERS_AT + behind * 16);
                if (++behind == S::STAGES) behind = 0;
            } else {
                ++open;
            }
        }
    }
    copies_wait<0>();
    proxy_fence();
    __syncwarp();
    for (; open; --open) {
        if (lane == 0) barrier_arrive(base + S::BARRIERS_AT + behind * 16);
        if (++behind == S::STAGES) behind = 0;
    }
}

template <class S, class Kernel>
static int launch_persistent(Kernel kernel, const Inputs& in, const CUtensorMap& map, void* stream) {
    if (cudaError_t error = cudaFuncSetAttribute(
            kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::SHARED_BYTES))
        return error;
    int device = 0, processors = 0;
    if (cudaError_t error = cudaGetDevice(&device)) return error;
    if (cudaError_t error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))
        return error;
    if (S::ROUTES) return launch_late(kernel, dim3(processors), kThreads, S::SHARED_BYTES, stream, in, map);
    return launch_early(kernel, dim3(processors), kThreads, S::SHARED_BYTES, stream, in, map);
}
}  // namespace gathered
