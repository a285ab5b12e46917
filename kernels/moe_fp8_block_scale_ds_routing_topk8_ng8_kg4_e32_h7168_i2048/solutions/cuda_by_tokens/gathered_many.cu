// Products for many tokens: 128 rows of tokens, gathered before, times 256 rows of weights.
#include <cuda_runtime.h>

#include "gathered_feed.cuh"

namespace gathered {
int launch_route(const Inputs& in, void* stream);
int launch_gather(const Inputs& in, void* stream);
int launch_combine(const Inputs& in, void* stream);
int launch_few(const Inputs& in, const Maps& maps, void* stream);
}

namespace gathered {
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

// One lane asks for the rows and the weights of all stages.
template <class S>
__device__ __forceinline__ void fetch_tiles(const CUtensorMap* map, const CUtensorMap* rows_map, uint32_t base,
                                            const int* begin_row, const int* begin_tile) {
    const int tiles = begin_tile[32];
    int stage = 0;
    uint32_t phase = 1;
    for (int tile = Alone::first(); tile < tiles; tile += Alone::apart()) {
        const Place p = Alone::place_of<S>(tile, begin_row, begin_tile);
        const int weight = S::FIRST ? p.expert * 2 * kInner + p.block * 128 : p.expert * kHidden + p.block * 256;
        const int row = begin_row[p.expert] + p.row;
        constexpr int APART = S::FIRST ? kInner : 128;
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
__device__ __forceinline__ void multiply_by_rows(const Inputs& in, uint32_t base, const int* begin_row,
                                                 const int* begin_tile) {
    const int tiles = begin_tile[32];
    const int group = threadIdx.x >> 7, lane = threadIdx.x & 31;
    const int row = (threadIdx.x >> 5) * 16 + (lane >> 2);  // of the tile
    int stage = 0;
    uint32_t phase = 0;
    for (int tile = Alone::first(); tile < tiles; tile += Alone::apart()) {
        const Place p = Alone::place_of<S>(tile, begin_row, begin_tile);
        const bool active = group * 64 < p.rows;
        if (!active) {
            for (int step = 0; step < S::STEPS; ++step) {
                const uint32_t full = base + S::BARRIERS_AT + stage * 16;
                barrier_wait(full, phase);
                if (lane == 0) barrier_arrive(full + 8);
                if (++stage == S::STAGES) stage = 0, phase ^= 1;
            }
            continue;
        }
        const bool first_exists = row < p.rows, second_exists = row + 8 < p.rows;
        const int to = begin_row[p.expert] + p.row + row;
        const float* row_scale = (S::FIRST ? in.rows_scale : in.inner_scale) + static_cast<size_t>(to) * S::STEPS;
        const float* row_scale8 = second_exists ? row_scale + 8 * S::STEPS : row_scale;
        const float* weight_scale = S::FIRST ? in.first_scale + (p.expert * 32 + p.block) * S::STEPS
                                             : in.second_scale + (p.expert * 56 + p.block * 2) * S::STEPS;
        constexpr int APART = (S::FIRST ? 16 : 1) * S::STEPS;
        if (!first_exists) row_scale = row_scale8 = weight_scale;  // anything that can be read
        float sum[2][64];
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int j = 0; j < 64; ++j) sum[half][j] = 0.0f;
        float s0 = row_scale[0], s1 = row_scale8[0], by0 = weight_scale[0], by1 = weight_scale[APART];
#pragma unroll 1
        for (int step = 0; step < S::STEPS; ++step) {
            const uint32_t full = base + S::BARRIERS_AT + stage * 16, at = base + stage * S::STAGE;
            const int next = step + 1 < S::STEPS ? step + 1 : step;
            const float next_s0 = row_scale[next], next_s1 = row_scale8[next];
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
                store_part(in, sum[half], to, first_exists, second_exists, (p.block * 2 + half) * 128);
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
    if (warp == 0) find_tiles<S, Alone>(load_now(in.counts + (threadIdx.x & 31)), begin_row, begin_tile);
    __syncthreads();
    if (warp < 8) {
        registers_more<232>();
        multiply_by_rows<S>(in, base, begin_row, begin_tile);
    } else {
        registers_fewer<40>();
        if (warp == 8) fetch_tiles<S>(&map, &rows_map, base, begin_row, begin_tile);
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

static int launch_many(const Inputs& in, const Maps& maps, void* stream) {
    using First = Shape<true, 128, 2, 4>;
    using Second = Shape<false, 128, 2, 4>;
    if (int error = launch_route(in, stream)) return error;
    if (int error = launch_gather(in, stream)) return error;
    if (int error = launch_product<First>(in, maps.first, maps.rows, stream)) return error;
    return launch_product<Second>(in, maps.second, maps.inner, stream);
}

int launch(const Inputs& in, const Maps& maps, void* stream) {
    if (int error = in.tokens <= kFew ? launch_few(in, maps, stream) : launch_many(in, maps, stream)) return error;
    return launch_combine(in, stream);
}
}  // namespace gathered
