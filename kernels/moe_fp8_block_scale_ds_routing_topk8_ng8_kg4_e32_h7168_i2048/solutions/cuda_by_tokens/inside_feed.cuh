// What a tile of many tokens is, and where it lies.
#pragma once
#include "moe.h"
#include "pieces.cuh"

namespace inside {
constexpr int kTile = 128 * 128;  // bytes of 128 rows and 128 terms

// A tile has ROWS tokens of an expert. The first product multiplies them by up and gate rows of the
// same 128 columns; the second by HALVES times 128 neighbouring rows.
template <bool FIRST_, int ROWS_, int HALVES_, int STAGES_>
struct Shape {
    static constexpr bool FIRST = FIRST_;
    static constexpr int ROWS = ROWS_, HALVES = HALVES_, STAGES = STAGES_;
    static constexpr int TERMS = FIRST ? kHidden : kInner, STEPS = TERMS / 128;
    static constexpr int BLOCKS = FIRST ? kInner / 128 : kHidden / (128 * HALVES);  // of columns
    static constexpr int TOKENS_AT = HALVES * kTile;  // in a stage, behind the weights
    static constexpr int STAGE = TOKENS_AT + ROWS * 128;
    static constexpr int BARRIERS_AT = STAGES * STAGE;
    static constexpr int BEGIN_AT = BARRIERS_AT + STAGES * 16;
    static constexpr int SHARED_BYTES = BEGIN_AT + 2 * 33 * 4 + 1024;
    static_assert(SHARED_BYTES <= 232448, "a block has no more");
};

// Where a tile lies: its expert, its block of columns, and its rows.
struct Place {
    int expert, block, row, rows;  // `row` is the first in the expert's list
    int tile;                      // of all experts' rows
};

template <class S>
__device__ __forceinline__ Place place_of(int tile, const int* begin_row, const int* begin_tile) {
    const int lane = threadIdx.x & 31;
    const unsigned before = __ballot_sync(~0u, begin_tile[lane + 1] * S::BLOCKS <= tile);
    Place p;
    p.expert = __popc(before);
    const int inside = tile - begin_tile[p.expert] * S::BLOCKS;
    const int high = begin_tile[p.expert + 1] - begin_tile[p.expert];
    p.block = inside / high;
    p.row = (inside - p.block * high) * S::ROWS;
    p.rows = min(S::ROWS, begin_row[p.expert + 1] - begin_row[p.expert] - p.row);
    return p;
}

// Reads the counts and adds them up: where each expert's rows and tiles begin.
template <class S>
__device__ __forceinline__ void find_tiles(const int* counts, int* begin_row, int* begin_tile) {
    const int lane = threadIdx.x & 31, count = load_now(counts + lane);
    int row = count, tile = (count + S::ROWS - 1) / S::ROWS;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1) {
        const int other = __shfl_up_sync(~0u, row, step), its_tile = __shfl_up_sync(~0u, tile, step);
        if (lane >= step) row += other, tile += its_tile;
    }
    begin_row[lane + 1] = row, begin_tile[lane + 1] = tile;
    if (lane == 0) begin_row[0] = begin_tile[0] = 0;
}
}  // namespace inside
