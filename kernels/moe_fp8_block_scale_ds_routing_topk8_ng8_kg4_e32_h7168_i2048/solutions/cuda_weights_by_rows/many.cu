// Products for many tokens: 128 rows of tokens times 256 rows of weights.
#include <cuda_runtime.h>

#include "feed.cuh"

#if HAS_WGMMA
// 64 rows times 128 rows over 128 terms.
__device__ __forceinline__ void step_products(float (&d)[64], uint64_t a, uint64_t b) {
    hold(d);
    products_begin();
#pragma unroll
    for (int k = 0; k < 4; ++k) multiply(d, a + 2 * k, b + 2 * k, k);
    products_commit();
    products_wait<0>();
    hold(d);
}
__device__ __forceinline__ void add_scaled(float (&sum)[64], const float (&d)[64], float s0, float s1) {
#pragma unroll
    for (int j = 0; j < 64; j += 4) {
        sum[j] = fmaf(d[j], s0, sum[j]), sum[j + 1] = fmaf(d[j + 1], s0, sum[j + 1]);
        sum[j + 2] = fmaf(d[j + 2], s1, sum[j + 2]), sum[j + 3] = fmaf(d[j + 3], s1, sum[j + 3]);
    }
}

// SwiGLU of a warp's 16 rows and 128 columns, kept as e4m3 with a scale a row.
__device__ __forceinline__ void store_inner(const Inputs& in, const float (&up)[64], float (&gate)[64],
                                            int row, bool first_exists, bool second_exists, int block) {
    const int c = threadIdx.x & 3;
    float most0 = 1e-30f, most1 = 1e-30f;
#pragma unroll
    for (int j = 0; j < 64; ++j) {
        gate[j] = gate[j] / (1.0f + __expf(-gate[j])) * up[j];
        if (j & 2) most1 = fmaxf(most1, fabsf(gate[j]));
        else most0 = fmaxf(most0, fabsf(gate[j]));
    }
#pragma unroll
    for (int step = 1; step < 4; step <<= 1) {
        most0 = fmaxf(most0, __shfl_xor_sync(~0u, most0, step));
        most1 = fmaxf(most1, __shfl_xor_sync(~0u, most1, step));
    }
    const float by0 = 448.0f / most0, by1 = 448.0f / most1;
    const size_t rows = static_cast<size_t>(kTop) * in.tokens;
    if (c == 0) {
        float* to = in.inner_scale + block * rows + row;
        if (first_exists) to[0] = most0 / 448.0f;
        if (second_exists) to[8] = most1 / 448.0f;
    }
    // Neighbours exchange, so that a lane has four columns in a row.
    uint8_t* to = in.inner + static_cast<size_t>(row) * kInner + block * 128 + (c & 1) * 8 + (c & 2) * 2;
#pragma unroll
    for (int j = 0; j < 64; j += 8) {
        const unsigned top = two_e4m3(gate[j] * by0, gate[j + 1] * by0) |
                             two_e4m3(gate[j + 4] * by0, gate[j + 5] * by0) << 16;
        const unsigned low = two_e4m3(gate[j + 2] * by1, gate[j + 3] * by1) |
                             two_e4m3(gate[j + 6] * by1, gate[j + 7] * by1) << 16;
        const unsigned its_top = __shfl_xor_sync(~0u, top, 1), its_low = __shfl_xor_sync(~0u, low, 1);
        const unsigned order = c & 1 ? 0x3276 : 0x5410;
        if (first_exists) *reinterpret_cast<unsigned*>(to + j * 2) = __byte_perm(top, its_top, order);
        if (second_exists)
            *reinterpret_cast<unsigned*>(to + 8 * kInner + j * 2) = __byte_perm(low, its_low, order);
    }
}

__device__ __forceinline__ void store_part(const Inputs& in, const float (&sum)[64], int row,
                                           bool first_exists, bool second_exists, int column) {
    const int c = threadIdx.x & 3;
    const bool odd = c & 1;
    uint16_t* to = in.parts + static_cast<size_t>(row) * kHidden + column + odd * 8 + (c & 2) * 2;
#pragma unroll
    for (int j = 0; j < 64; j += 8) {
        const unsigned top0 = two_bf16(sum[j], sum[j + 1]), top1 = two_bf16(sum[j + 4], sum[j + 5]);
        const unsigned low0 = two_bf16(sum[j + 2], sum[j + 3]), low1 = two_bf16(sum[j + 6], sum[j + 7]);
        const unsigned top = __shfl_xor_sync(~0u, odd ? top0 : top1, 1);
        const unsigned low = __shfl_xor_sync(~0u, odd ? low0 : low1, 1);
        if (first_exists)
            *reinterpret_cast<uint2*>(to + j * 2) = odd ? make_uint2(top, top1) : make_uint2(top0, top);
        if (second_exists)
            *reinterpret_cast<uint2*>(to + 8 * kHidden + j * 2) =
                odd ? make_uint2(low, low1) : make_uint2(low0, low);
    }
}

// Four warps that multiply 64 rows.
template <class S>
__device__ __forceinline__ void multiply_by_rows(const Inputs& in, uint32_t base, const unsigned char* shared,
                                               const int* begin_row, const int* begin_tile) {
    const int tiles = begin_tile[32] * S::BLOCKS;
    const int group = threadIdx.x >> 7, lane = threadIdx.x & 31;
    const int row = (threadIdx.x >> 5) * 16 + (lane >> 2);  // of the tile
    int stage = 0;
    uint32_t phase = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const Place p = place_of<S>(tile, begin_row, begin_tile);
        float sum[S::HALVES][64];
#pragma unroll
        for (int half = 0; half < S::HALVES; ++half)
#pragma unroll
            for (int j = 0; j < 64; ++j) sum[half][j] = 0.0f;
        const bool active = group * 64 < p.rows;
#pragma unroll 1
        for (int step = 0; step < S::STEPS; ++step) {
            const uint32_t full = base + S::BARRIERS_AT + stage * 16, at = base + stage * S::STAGE;
            const float* scales = reinterpret_cast<const float*>(shared + S::SCALES_AT) + stage * S::SCALES;
            barrier_wait(full, phase);
            if (active) {
                const float s0 = scales[row], s1 = scales[row + 8];
                float by[S::HALVES];
#pragma unroll
                for (int half = 0; half < S::HALVES; ++half) by[half] = scales[S::ROWS + half];
                const uint64_t a = tile_of(at + S::TOKENS_AT + group * (kTile / 2));
#pragma unroll
                for (int half = 0; half < S::HALVES; ++half) {
                    float d[64];
                    step_products(d, a, tile_of(at + kTile * half));
                    if (half + 1 == S::HALVES) {
                        __syncwarp();
                        if (lane == 0) barrier_arrive(full + 8);
                    }
                    add_scaled(sum[half], d, s0 * by[half], s1 * by[half]);
                }
            } else if (lane == 0) {
                barrier_arrive(full + 8);
            }
            if (++stage == S::STAGES) stage = 0, phase ^= 1;
        }
        if (!active) continue;
        const int to = begin_row[p.expert] + p.row + row;
        const bool first_exists = row < p.rows, second_exists = row + 8 < p.rows;
        if constexpr (S::FIRST) {
            store_inner(in, sum[0], sum[1], to, first_exists, second_exists, p.block);
        } else {
#pragma unroll
            for (int half = 0; half < S::HALVES; ++half)
                store_part(in, sum[half], to, first_exists, second_exists,
                           (p.block * S::HALVES + half) * 128);
        }
    }
}
#endif

template <class S>
__global__ void __launch_bounds__(kThreads, 1) product(const Inputs in, const __grid_constant__ CUtensorMap map) {
#if HAS_WGMMA
    extern __shared__ unsigned char memory[];
    unsigned char* shared = memory + (1024 - (shared_address(memory) & 1023) & 1023);
    const uint32_t base = shared_address(shared);
    int* rows = reinterpret_cast<int*>(shared + S::ROWS_AT);
    int* begin_row = reinterpret_cast<int*>(shared + S::BEGIN_AT);
    int* begin_tile = begin_row + 33;
    const int warp = threadIdx.x >> 5;
    if (threadIdx.x == 0) {
        prefetch_map(&map);
        set_up_barriers<S>(base);
    }
    // The second product begins after the first has begun, which was after the routing.
    if (S::FIRST) wait_for_primary();
    launch_dependents();
    if (warp == 0) find_tiles<S>(in.counts, begin_row, begin_tile);
    __syncthreads();
    if (warp < 8) {
        registers_more<232>();
        multiply_by_rows<S>(in, base, shared, begin_row, begin_tile);
    } else {
        registers_fewer<40>();
        if (warp == 8) {
            fetch_weights<S>(&map, base, begin_row, begin_tile);
        } else {
            if (!S::FIRST) wait_for_primary();
            fetch_rows<S>(in, base, begin_row, begin_tile, rows);
        }
    }
#endif
}

int launch_many(const Inputs& in, const Maps& maps, void* stream) {
    using First = Shape<true, 128, 2, 4>;
    using Second = Shape<false, 128, 2, 4>;
    if (int error = launch_persistent<First>(product<First>, in, maps.first, stream)) return error;
    return launch_persistent<Second>(product<Second>, in, maps.second, stream);
}
