// Products for many tokens: 128 rows of tokens, gathered by idle warps, times 256 rows of weights.
#include <cuda_runtime.h>

#include "inside_feed.cuh"

namespace inside {
int launch_route(const Inputs& in, void* stream);
int launch_combine(const Inputs& in, void* stream);

// Two groups of warps that multiply, and one of which a lane fetches: registers change hands by groups.
constexpr int kManyThreads = 384;

#if HAS_WGMMA
// 64 rows times 128 rows over 128 terms.
__device__ __forceinline__ void step_products(float (&d)[64], uint32_t a, uint32_t b) {
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
        gate[j] = __fdividef(gate[j], 1.0f + __expf(-gate[j])) * up[j];
        if (j & 2) most1 = fmaxf(most1, fabsf(gate[j]));
        else most0 = fmaxf(most0, fabsf(gate[j]));
    }
#pragma unroll
    for (int step = 1; step < 4; step <<= 1) {
        most0 = fmaxf(most0, __shfl_xor_sync(~0u, most0, step));
        most1 = fmaxf(most1, __shfl_xor_sync(~0u, most1, step));
    }
    const float by0 = 448.0f / most0, by1 = 448.0f / most1;
    if (c == 0) {
        float* to = in.inner_scale + static_cast<size_t>(row) * (kInner / 128) + block;
        if (first_exists) to[0] = most0 / 448.0f;
        if (second_exists) to[8 * (kInner / 128)] = most1 / 448.0f;
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

// Where a row of the second product goes: among the parts, or to its token, times its share.
struct Target {
    uint16_t* row;
    float share;
};
__device__ __forceinline__ Target target_of(const Inputs& in, int row, bool exists) {
    const int2 said = exists ? in.row_target[row] : make_int2(-1, 0);
    Target t;
    t.row = said.x < 0 ? in.parts + static_cast<size_t>(row) * kHidden : in.output + static_cast<size_t>(said.x) * kHidden;
    t.share = said.x < 0 ? 1.0f : __int_as_float(said.y);
    return t;
}

__device__ __forceinline__ void store_part(const float (&sum)[64], const Target& first, const Target& second,
                                           bool first_exists, bool second_exists, int column) {
    const int c = threadIdx.x & 3;
    const bool odd = c & 1;
    const int at = column + odd * 8 + (c & 2) * 2;
    const float f = first.share, s = second.share;
#pragma unroll
    for (int j = 0; j < 64; j += 8) {
        const unsigned top0 = two_bf16(sum[j] * f, sum[j + 1] * f), top1 = two_bf16(sum[j + 4] * f, sum[j + 5] * f);
        const unsigned low0 = two_bf16(sum[j + 2] * s, sum[j + 3] * s), low1 = two_bf16(sum[j + 6] * s, sum[j + 7] * s);
        const unsigned top = __shfl_xor_sync(~0u, odd ? top0 : top1, 1);
        const unsigned low = __shfl_xor_sync(~0u, odd ? low0 : low1, 1);
        if (first_exists)
            *reinterpret_cast<uint2*>(first.row + at + j * 2) = odd ? make_uint2(top, top1) : make_uint2(top0, top);
        if (second_exists)
            *reinterpret_cast<uint2*>(second.row + at + j * 2) = odd ? make_uint2(low, low1) : make_uint2(low0, low);
    }
}

// Warps that have nothing else to do: zeros where a token has no local expert.
__device__ __forceinline__ void store_zeros(const Inputs& in, int worker, int workers) {
    const int lane = threadIdx.x & 31;
    for (int token = worker; token < in.tokens; token += workers) {
        const int row = lane < kTop ? in.places[token * kTop + lane] : -1;
        if (__any_sync(~0u, row >= 0)) continue;
        uint4* to = reinterpret_cast<uint4*>(in.output + static_cast<size_t>(token) * kHidden) + lane;
#pragma unroll 4
        for (int i = 0; i < kHidden / 8; i += 32) to[i] = make_uint4(0, 0, 0, 0);
    }
}

// The same: rows of tokens to where their experts' rows stand, in the order in which they are multiplied,
// then what the second product and the sums must know of each token.
template <class S>
__device__ __forceinline__ void gather_rows(const Inputs& in, const int* begin_row, const int* begin_tile, int worker,
                                            int workers) {
    const int lane = threadIdx.x & 31;
    for (int i = worker; i < begin_tile[32] * S::ROWS; i += workers) {
        const int tile = i / S::ROWS, expert = __popc(__ballot_sync(~0u, begin_tile[lane + 1] <= tile));
        const int at = i - begin_tile[expert] * S::ROWS;
        if (at >= begin_row[expert + 1] - begin_row[expert]) continue;
        const int token = in.list[static_cast<size_t>(expert) * in.tokens + at], row = begin_row[expert] + at;
        const uint4* from = reinterpret_cast<const uint4*>(in.hidden + static_cast<size_t>(token) * kHidden) + lane;
        uint4* to = reinterpret_cast<uint4*>(in.rows + static_cast<size_t>(row) * kHidden) + lane;
        constexpr int PIECES = kHidden / 16 / 32, AT_ONCE = 4;
        float s0 = 0.0f, s1 = 0.0f;  // are loaded with the last pieces, which leave registers
#pragma unroll
        for (int piece = 0; piece < PIECES; piece += AT_ONCE) {
            uint4 v[AT_ONCE];
#pragma unroll
            for (int j = 0; j < AT_ONCE; ++j)
                if (piece + j < PIECES) v[j] = from[(piece + j) * 32];
            if (piece + AT_ONCE >= PIECES && lane < 28) {
                const float* scale = in.hidden_scale + static_cast<size_t>(lane) * in.tokens + token;
                s0 = scale[0], s1 = scale[static_cast<size_t>(28) * in.tokens];
            }
#pragma unroll
            for (int j = 0; j < AT_ONCE; ++j)
                if (piece + j < PIECES) to[(piece + j) * 32] = v[j];
        }
        if (lane < 28) {
            float* its = in.rows_scale + static_cast<size_t>(row) * (kHidden / 128) + lane;
            its[0] = s0, its[28] = s1;
        }
        proxy_fence_global();
        __syncwarp();
        if (lane == 0) add_release(in.ready + tile, 1);
    }
    for (int token = worker * 32 + lane; token < in.tokens; token += workers * 32) {
        int held = 0, last = -1, last_at = 0;
#pragma unroll 1
        for (int k = 0; k < kTop; ++k) {
            const int place = in.places[token * kTop + k];
            const int row = place < 0 ? -1 : begin_row[place >> 20] + (place & 0xfffff);
            in.token_rows[token * kTop + k] = row;
            if (row < 0) continue;
            in.row_target[row] = make_int2(-1, 0);
            ++held, last = row, last_at = k;
        }
        if (held == 1) in.row_target[last] = make_int2(token, __float_as_int(in.shares[token * kTop + last_at]));
        if (held > 1) in.several[atomicAdd(in.counts + kLocal, 1)] = token;
    }
}

// One lane asks for the rows and the weights of all stages.
template <class S>
__device__ __forceinline__ void fetch_tiles(const Inputs& in, const CUtensorMap* map, const CUtensorMap* rows_map, uint32_t base,
                                            const int* begin_row, const int* begin_tile) {
    const int tiles = begin_tile[32] * S::BLOCKS;
    int stage = 0;
    uint32_t phase = 1;
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
        const Place p = place_of<S>(tile, begin_row, begin_tile);
        const int weight = S::FIRST ? p.expert * 2 * kInner + p.block * 128 : p.expert * kHidden + p.block * 256;
        const int row = begin_row[p.expert] + p.row;
        constexpr int APART = S::FIRST ? kInner : 128;
        if (S::FIRST) {
            if ((threadIdx.x & 31) == 0) {
                wait_for_count(in.ready + begin_tile[p.expert] + p.row / S::ROWS, p.rows);
                proxy_fence_global();
            }
            __syncwarp();
        }
        for (int step = 0; step < S::STEPS; ++step) {
            const uint32_t full = base + S::BARRIERS_AT + stage * 16, to = base + stage * S::STAGE;
            if ((threadIdx.x & 31) == 0) {
                barrier_wait(full + 8, phase);
                barrier_expect(full, S::STAGE);
                copy_tile(to, map, step * 128, weight, full);
                copy_tile(to + S::TOKENS_AT, rows_map, step * 128, row, full);
                copy_tile(to + kTile, map, step * 128, weight + APART, full);
            }
            __syncwarp();
            if (++stage == S::STAGES) stage = 0, phase ^= 1;
        }
    }
}

// Four warps that multiply 64 rows; they read the scales of a step while they multiply the one before.
template <class S>
__device__ __forceinline__ void multiply_tile(const Inputs& in, uint32_t base, const int* begin_row,
                                              const Place& p, int& stage, uint32_t& phase) {
    const int group = threadIdx.x >> 7, lane = threadIdx.x & 31;
    const int row = (threadIdx.x >> 5) * 16 + (lane >> 2);  // of the tile
    const bool first_exists = row < p.rows, second_exists = row + 8 < p.rows;
    const int to = begin_row[p.expert] + p.row + row;
    const float* row_scale = (S::FIRST ? in.rows_scale : in.inner_scale) + static_cast<size_t>(to) * S::STEPS;
    const float* row_scale8 = second_exists ? row_scale + 8 * S::STEPS : row_scale;
    const float* weight_scale = S::FIRST ? in.first_scale + (p.expert * 32 + p.block) * S::STEPS
                                         : in.second_scale + (p.expert * 56 + p.block * 2) * S::STEPS;
    constexpr int APART = (S::FIRST ? 16 : 1) * S::STEPS;
    if (!first_exists) row_scale = row_scale8 = weight_scale;  // anything that can be read
    Target first_target = {}, second_target = {};
    if (!S::FIRST) {
        first_target = target_of(in, to, first_exists);
        second_target = target_of(in, to + 8, second_exists);
    }
    if (S::FIRST) {
        // Scales of the rows were stored by other blocks, as the rows were that the first stage holds.
        if (lane == 0) wait_for_count(in.ready + (p.tile), p.rows);
        __syncwarp();
    }
    float sum[2][64];
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int j = 0; j < 64; ++j) sum[half][j] = 0.0f;
    float s0 = __ldcg(row_scale), s1 = __ldcg(row_scale8), by0 = weight_scale[0], by1 = weight_scale[APART];
#pragma unroll 1
    for (int step = 0; step < S::STEPS; ++step) {
        const uint32_t full = base + S::BARRIERS_AT + stage * 16, at = base + stage * S::STAGE;
        const int next = step + 1 < S::STEPS ? step + 1 : step;
        const float next_s0 = __ldcg(row_scale + next), next_s1 = __ldcg(row_scale8 + next);
        const float next_by0 = weight_scale[next], next_by1 = weight_scale[APART + next];
        barrier_wait(full, phase);
        const uint32_t a = tile_of(at + S::TOKENS_AT + group * (kTile / 2));
        float d[64];
        step_products(d, a, tile_of(at));
        add_scaled(sum[0], d, s0 * by0, s1 * by0);
        step_products(d, a, tile_of(at + kTile));
        __syncwarp();
        if (lane == 0) barrier_arrive(full + 8);
        add_scaled(sum[1], d, s0 * by1, s1 * by1);
        s0 = next_s0, s1 = next_s1, by0 = next_by0, by1 = next_by1;
        if (++stage == S::STAGES) stage = 0, phase ^= 1;
    }
    if constexpr (S::FIRST) {
        store_inner(in, sum[0], sum[1], to, first_exists, second_exists, p.block);
    } else {
#pragma unroll
        for (int half = 0; half < 2; ++half)
            store_part(sum[half], first_target, second_target, first_exists, second_exists,
                       (p.block * 2 + half) * 128);
    }
}

template <class S>
__device__ __forceinline__ void multiply_by_rows(const Inputs& in, uint32_t base, const int* begin_row,
                                                 const int* begin_tile) {
    const int tiles = begin_tile[32] * S::BLOCKS;
    const int group = threadIdx.x >> 7, lane = threadIdx.x & 31;
    int stage = 0;
    uint32_t phase = 0;
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
        Place p = place_of<S>(tile, begin_row, begin_tile);
        p.tile = begin_tile[p.expert] + p.row / S::ROWS;
        if (group * 64 < p.rows) {
            multiply_tile<S>(in, base, begin_row, p, stage, phase);
        } else {
            for (int step = 0; step < S::STEPS; ++step) {
                const uint32_t full = base + S::BARRIERS_AT + stage * 16;
                barrier_wait(full, phase);
                if (lane == 0) barrier_arrive(full + 8);
                if (++stage == S::STAGES) stage = 0, phase ^= 1;
            }
        }
    }
}
#endif

template <class S>
__global__ void __launch_bounds__(kManyThreads, 1)
    product(const Inputs in, const __grid_constant__ CUtensorMap map, const __grid_constant__ CUtensorMap rows_map) {
#if HAS_WGMMA
    extern __shared__ unsigned char memory[];
    unsigned char* shared = memory + (1024 - (shared_address(memory) & 1023) & 1023);
    const uint32_t base = shared_address(shared);
    int* begin_row = reinterpret_cast<int*>(shared + S::BEGIN_AT);
    int* begin_tile = begin_row + 33;
    const int warp = threadIdx.x >> 5;
    if (threadIdx.x == 0) {
        prefetch_map(&map);
        prefetch_map(&rows_map);
        for (int stage = 0; stage < S::STAGES; ++stage) {
            barrier_init(base + S::BARRIERS_AT + stage * 16, 1);
            barrier_init(base + S::BARRIERS_AT + stage * 16 + 8, 8);
        }
        barrier_init_fence();
    }
    wait_for_primary();
    proxy_fence_global();
    launch_dependents();
    if (warp == 0) find_tiles<S>(in.counts, begin_row, begin_tile);
    __syncthreads();
    if (warp < 8) {
        registers_more<232>();
        multiply_by_rows<S>(in, base, begin_row, begin_tile);
    } else {
        registers_fewer<40>();
        if (warp == 8) fetch_tiles<S>(in, &map, &rows_map, base, begin_row, begin_tile);
        else if (S::FIRST) {
            // The first rows that are wanted are spread over all blocks.
            gather_rows<S>(in, begin_row, begin_tile, (warp - 9) * gridDim.x + blockIdx.x, gridDim.x * 3);
            store_zeros(in, blockIdx.x * 3 + warp - 9, gridDim.x * 3);
        }
    }
#endif
}

template <class S>
static int launch_product(const Inputs& in, const CUtensorMap& map, const CUtensorMap& rows_map, void* stream) {
    if (cudaError_t error = cudaFuncSetAttribute(
            product<S>, cudaFuncAttributeMaxDynamicSharedMemorySize, S::SHARED_BYTES))
        return error;
    int device = 0, processors = 0;
    if (cudaError_t error = cudaGetDevice(&device)) return error;
    if (cudaError_t error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))
        return error;
    return launch_early(product<S>, dim3(processors), kManyThreads, S::SHARED_BYTES, stream, in, map, rows_map);
}

int launch(const Inputs& in, const Maps& maps, void* stream) {
    using First = Shape<true, 128, 2, 4>;
    using Second = Shape<false, 128, 2, 4>;
    if (int error = launch_route(in, stream)) return error;
    if (int error = launch_product<First>(in, maps.first, maps.rows, stream)) return error;
    if (int error = launch_product<Second>(in, maps.second, maps.inner, stream)) return error;
    return launch_combine(in, stream);
}
}  // namespace inside
