// Products for few tokens: 64 rows of weights a group of warps times the tokens of an expert.
#include <cuda_runtime.h>

#include "choose.cuh"
#include "gathered_feed.cuh"

namespace gathered {
#if HAS_WGMMA
// Gated products of a thread: rows `channel` and + 8 of the weights, two tokens of each eight.
template <class S>
__device__ __forceinline__ void store_gated(const Inputs& in, const float (&up)[S::ROWS / 2],
                                            float (&gate)[S::ROWS / 2], float* peaks, int first_row,
                                            int rows, int block, int channel) {
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, c = lane & 3;
#pragma unroll
    for (int j = 0; j < S::ROWS / 2; ++j) gate[j] = __fdividef(gate[j], 1.0f + __expf(-gate[j])) * up[j];
#pragma unroll
    for (int j = 0; j < S::ROWS / 2; j += 4) {
        float most0 = fmaxf(fabsf(gate[j]), fabsf(gate[j + 2]));
        float most1 = fmaxf(fabsf(gate[j + 1]), fabsf(gate[j + 3]));
#pragma unroll
        for (int step = 4; step < 32; step <<= 1) {
            most0 = fmaxf(most0, __shfl_xor_sync(~0u, most0, step));
            most1 = fmaxf(most1, __shfl_xor_sync(~0u, most1, step));
        }
        if (lane < 4) peaks[warp * S::ROWS + j * 2 + c * 2] = most0, peaks[warp * S::ROWS + j * 2 + c * 2 + 1] = most1;
    }
    some_sync<2, 256>();
#pragma unroll
    for (int j = 0; j < S::ROWS / 2; j += 4) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int token = j * 2 + c * 2 + i;
            float most = 1e-30f;
#pragma unroll
            for (int w = 0; w < 8; ++w) most = fmaxf(most, peaks[w * S::ROWS + token]);
            if (token >= rows) continue;
            const float by = 448.0f / most;
            const size_t row = first_row + token;
            if (warp == 0 && lane < 4) in.inner_scale[row * (kInner / 128) + block] = most / 448.0f;
            uint8_t* to = in.inner + row * kInner + block * 128 + channel;
            const unsigned two = two_e4m3(gate[j + i] * by, gate[j + 2 + i] * by);
            to[0] = static_cast<uint8_t>(two), to[8] = static_cast<uint8_t>(two >> 8);
        }
    }
    some_sync<2, 256>();  // peaks are free again
}

template <class S>
__device__ __forceinline__ void multiply_by_columns(const Inputs& in, uint32_t base, unsigned char* shared,
                                               const int* begin_row, const int* begin_tile) {
    constexpr int N = S::ROWS / 2;  // registers of 64 x ROWS sums
    const int tiles = begin_tile[32];
    const int group = threadIdx.x >> 7, lane = threadIdx.x & 31, c = lane & 3;
    const int channel = (threadIdx.x >> 5) * 16 + (lane >> 2);  // of 128
    int stage = 0;
    uint32_t phase = 0;
    for (int tile = Alone::first(); tile < tiles; tile += Alone::apart()) {
        const Place p = Alone::place_of<S>(tile, begin_row, begin_tile);
        float sum[S::HALVES][N];
#pragma unroll
        for (int half = 0; half < S::HALVES; ++half)
#pragma unroll
            for (int j = 0; j < N; ++j) sum[half][j] = 0.0f;
#pragma unroll 1
        for (int step = 0; step < S::STEPS; ++step) {
            const uint32_t full = base + S::BARRIERS_AT + stage * 16, at = base + stage * S::STAGE;
            const float* scales = reinterpret_cast<const float*>(shared + S::SCALES_AT) + stage * S::SCALES;
            barrier_wait(full, phase);
            float d[S::HALVES][N];
            const uint32_t b = tile_of(at + S::TOKENS_AT);
#pragma unroll
            for (int half = 0; half < S::HALVES; ++half) hold(d[half]);
            products_begin();
#pragma unroll
            for (int half = 0; half < S::HALVES; ++half) {
                const uint32_t a = tile_of(at + half * kTile + group * (kTile / 2));
#pragma unroll
                for (int k = 0; k < 4; ++k) multiply(d[half], a + 2 * k, b + 2 * k, k);
            }
            products_commit();
            float by[S::HALVES], of[N / 2];
#pragma unroll
            for (int half = 0; half < S::HALVES; ++half) by[half] = scales[S::ROWS + half];
#pragma unroll
            for (int j = 0; j < N / 2; j += 2) {
                const float2 two = *reinterpret_cast<const float2*>(scales + j * 4 + c * 2);
                of[j] = two.x, of[j + 1] = two.y;
            }
            products_wait<0>();
#pragma unroll
            for (int half = 0; half < S::HALVES; ++half) hold(d[half]);
            __syncwarp();
            if (lane == 0) barrier_arrive(full + 8);
#pragma unroll
            for (int j = 0; j < N; ++j)
#pragma unroll
                for (int half = 0; half < S::HALVES; ++half)
                    sum[half][j] = fmaf(d[half][j], of[j / 4 * 2 + (j & 1)] * by[half], sum[half][j]);
            if (++stage == S::STAGES) stage = 0, phase ^= 1;
        }
        const int first_row = begin_row[p.expert] + p.row;
        if constexpr (S::FIRST) {
            store_gated<S>(in, sum[0], sum[1], reinterpret_cast<float*>(shared + S::PEAKS_AT), first_row,
                           p.rows, p.block, channel);
        } else {
#pragma unroll
            for (int j = 0; j < N; j += 4)
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const int token = j * 2 + c * 2 + i;
                    if (token >= p.rows) continue;
                    uint16_t* to = in.parts + static_cast<size_t>(first_row + token) * kHidden + p.block * 128 + channel;
                    const unsigned two = two_bf16(sum[0][j + i], sum[0][j + 2 + i]);
                    to[0] = static_cast<uint16_t>(two), to[8] = static_cast<uint16_t>(two >> 16);
                }
        }
    }
}
#endif

// Every block chooses all tokens' experts; the first one tells the kernels that follow. A lane of
// the first warp gets the tokens of its expert.
__device__ __forceinline__ int route_few(const Inputs& in, Routing& routing) {
    const int thread = threadIdx.x, warp = thread >> 5, lane = thread & 31;
    constexpr int WORDS = kFew / 32;
    if (thread < kLocal * WORDS) routing.chosen[thread / WORDS][thread % WORDS] = 0;
    __syncthreads();
    for (int token = warp; token < in.tokens; token += kThreads / 32) {
        int expert;
        float share;
        choose(in, token, expert, share);
        const int local = expert - in.offset;
        const bool here = lane < kTop && local >= 0 && local < kLocal;
        if (here) atomicOr(&routing.chosen[local][token >> 5], 1u << (token & 31));
        if (lane < kTop) {
            routing.locals[token * kTop + lane] = static_cast<int8_t>(here ? local : -1);
            if (blockIdx.x == 0) in.shares[token * kTop + lane] = share;
        }
    }
    __syncthreads();
    for (int i = thread; i < in.tokens * kTop; i += kThreads) {
        const int local = routing.locals[i], token = i / kTop;
        int place = 0;
        if (local >= 0) {
#pragma unroll
            for (int word = 0; word < WORDS; ++word) {
                const unsigned bits = routing.chosen[local][word], below = (1u << (token & 31)) - 1;
                if (word <= token >> 5) place += __popc(word == token >> 5 ? bits & below : bits);
            }
            routing.list[local][place] = static_cast<uint8_t>(token);
        }
        if (blockIdx.x == 0) in.places[i] = local < 0 ? -1 : local << 20 | place;
    }
    int count = 0;
    if (thread < kLocal) {
#pragma unroll
        for (int word = 0; word < WORDS; ++word) count += __popc(routing.chosen[thread][word]);
        if (blockIdx.x == 0) in.counts[thread] = count;
    }
    // The second product reads the counts as soon as it begins, which is after all blocks of this
    // kernel have said that it may.
    __threadfence();
    __syncthreads();
    return count;
}

template <class S>
__global__ void __launch_bounds__(kThreads, 1) narrow_product(const Inputs in, const __grid_constant__ CUtensorMap map) {
#if HAS_WGMMA
    extern __shared__ unsigned char memory[];
    unsigned char* shared = memory + (1024 - (shared_address(memory) & 1023) & 1023);
    const uint32_t base = shared_address(shared);
    int* begin_row = reinterpret_cast<int*>(shared + S::BEGIN_AT);
    int* begin_tile = begin_row + 33;
    const int warp = threadIdx.x >> 5;
    if (threadIdx.x == 0) {
        prefetch_map(&map);
        set_up_barriers<S, Alone>(base);
    }
    int count = 0;
    Routing* routing = reinterpret_cast<Routing*>(shared + S::ROUTING_AT);
    if (S::ROUTES) count = route_few(in, *routing);
    launch_dependents();
    if (warp == 0) {
        if (!S::ROUTES) count = load_now(in.counts + (threadIdx.x & 31));
        find_tiles<S, Alone>(count, begin_row, begin_tile);
    }
    __syncthreads();
    if (warp < 8) {
        multiply_by_columns<S>(in, base, shared, begin_row, begin_tile);
    } else if (warp == 8) {
        fetch_weights<S, Alone>(&map, base, begin_row, begin_tile);
    } else {
        if (!S::FIRST) wait_for_primary();
        fetch_rows<S, Alone>(in, base, begin_row, begin_tile, reinterpret_cast<int*>(shared + S::ROWS_AT), routing);
    }
#endif
}

template <int ROWS>
static int launch(const Inputs& in, const Maps& maps, void* stream) {
    using First = Shape<true, ROWS, 2, 6, true>;
    using Second = Shape<false, ROWS, 1, 10>;
    if (int error = launch_persistent<First>(narrow_product<First>, in, maps.first, stream)) return error;
    return launch_persistent<Second>(narrow_product<Second>, in, maps.second, stream);
}

int launch_few(const Inputs& in, const Maps& maps, void* stream) {
    if (in.tokens <= 8) return launch<8>(in, maps, stream);
    if (in.tokens <= 16) return launch<16>(in, maps, stream);
    return launch<32>(in, maps, stream);
}
}  // namespace gathered
