// Products for up to 8 tokens without shared memory between the weights and the tensor cores: lanes load
// pieces of 16 bytes of whole rows into the registers that they multiply from, two steps ahead. In a step
// of 128 terms a lane 4g + c holds terms 16c to 16c + 15 and 64 + 16c to 64 + 16c + 15 of its rows and of
// token g: any order of terms does, as long as both have the same.
#include <cuda_runtime.h>

#include "choose.cuh"
#include "pieces.cuh"

namespace streamed {
constexpr int kStreamers = 256;   // threads of the second product: eight warps share out the terms
constexpr int kFirstWarps = 7;    // of the first product, which does so, too
constexpr int kFirstThreads = kFirstWarps * 32;
constexpr int kMost = 64;        // tokens

// 16 columns of the inner product of up to eight tokens of an expert.
struct Narrow {
    static constexpr int ROWS = 8, BLOCKS = kInner / 16;
};

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

__device__ __forceinline__ uint4 load_once(const uint8_t* p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}
// 16 rows times 8 tokens over 32 terms: d[0], d[1] are tokens 2c, 2c + 1 of row g, d[2], d[3] of row g + 8.
__device__ __forceinline__ void multiply_small(float (&d)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                               unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
// 16 rows over 128 terms; the halves of a row's terms are two pieces.
__device__ __forceinline__ void multiply_rows(float (&d)[4], const uint4 (&low)[2], const uint4 (&high)[2],
                                              const uint4 (&b)[2]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) d[i] = 0.0f;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        multiply_small(d, low[h].x, high[h].x, low[h].y, high[h].y, b[h].x, b[h].y);
        multiply_small(d, low[h].z, high[h].z, low[h].w, high[h].w, b[h].z, b[h].w);
    }
}
// 32 rows, of which a lane has g, g + 8, g + 16 and g + 24.
struct Rows {
    uint4 v[2][2][2];  // which 16 rows, which eight, which half of the terms
};
__device__ __forceinline__ void load_rows(Rows& r, const uint8_t* first, const uint8_t* second, int pitch) {
#pragma unroll
    for (int eight = 0; eight < 2; ++eight)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            r.v[0][eight][h] = load_once(first + eight * 8 * pitch + h * 64);
            r.v[1][eight][h] = load_once(second + eight * 8 * pitch + h * 64);
        }
}

// What all blocks of both kernels know of the routing.
struct Known {
    int begin_row[33], begin_tile[33];
    int token[kMost * kTop];
    float share[kMost * kTop];
};
// Every block of the first product chooses all tokens' experts; the first one tells the second product.
constexpr int kRouted = 8;  // most tokens
__device__ __forceinline__ void choose_rows(const Inputs& in, Known& known) {
    __shared__ int local[kRouted][kTop];
    __shared__ float share[kRouted][kTop];
    __shared__ int count[kLocal];
    const int thread = threadIdx.x, warp = thread >> 5, lane = thread & 31;
    if (thread < kLocal) count[thread] = 0;
    for (int token = warp; token < in.tokens; token += kFirstWarps) {
        int expert;
        float its;
        choose(in, token, expert, its);
        expert -= in.offset;
        if (lane < kTop) local[token][lane] = expert >= 0 && expert < kLocal ? expert : -1, share[token][lane] = its;
    }
    __syncthreads();
    const int choices = in.tokens * kTop;
    int mine = -1, place = 0;
    if (thread < choices) {
        mine = local[thread / kTop][thread % kTop];
        if (mine >= 0) {
            for (int i = 0; i < thread; ++i) place += local[i / kTop][i % kTop] == mine;
            atomicAdd(&count[mine], 1);
        }
    }
    __syncthreads();
    if (warp == 0) {
        int row = count[lane], tile = (row + Narrow::ROWS - 1) / Narrow::ROWS;
#pragma unroll
        for (int step = 1; step < 32; step <<= 1) {
            const int other = __shfl_up_sync(~0u, row, step), its_tile = __shfl_up_sync(~0u, tile, step);
            if (lane >= step) row += other, tile += its_tile;
        }
        known.begin_row[lane + 1] = row, known.begin_tile[lane + 1] = tile;
        if (lane == 0) known.begin_row[0] = known.begin_tile[0] = 0;
        if (blockIdx.x == 0) in.counts[lane] = count[lane];
    }
    __syncthreads();
    if (mine >= 0) {
        const float its = share[thread / kTop][thread % kTop];
        known.token[known.begin_row[mine] + place] = thread / kTop;
        known.share[known.begin_row[mine] + place] = its;
        if (blockIdx.x == 0) {
            in.list[mine * in.tokens + place] = thread / kTop;
            in.list_shares[mine * in.tokens + place] = its;
        }
    }
    __threadfence();
    __syncthreads();
}
template <int THREADS>
__device__ __forceinline__ void find_rows(const Inputs& in, Known& known) {
    if (threadIdx.x < 32) find_tiles<Narrow>(in.counts, known.begin_row, known.begin_tile);
    __syncthreads();
    for (int expert = threadIdx.x >> 5; expert < kLocal; expert += THREADS / 32) {
        const int begin = known.begin_row[expert], count = known.begin_row[expert + 1] - begin;
        for (int i = threadIdx.x & 31; i < count; i += 32) {
            known.token[begin + i] = load_now(in.list + expert * in.tokens + i);
            known.share[begin + i] = __int_as_float(load_now(reinterpret_cast<const int*>(in.list_shares) + expert * in.tokens + i));
        }
    }
    __syncthreads();
}

constexpr int kSteps = kHidden / 128 / kFirstWarps;  // of 128 terms, of a warp in the first product
constexpr int kPitch = 20;                                // floats between tokens of partial sums
constexpr int kTokenPitch = kHidden + 64;                 // bytes between tokens: neighbours in other banks

struct FirstShared {
    uint8_t tokens[Narrow::ROWS][kTokenPitch];
    Known known;
    float scale[kHidden / 128][kMost];
    float sums[2][kFirstWarps][2][Narrow::ROWS][kPitch];
};

// 16 columns, up and gate, of some tokens of an expert.
struct Unit {
    int expert, block, row, rows;
};
__device__ __forceinline__ Unit unit_of(const Known& known, int unit) {
    const int lane = threadIdx.x & 31;
    Unit u;
    u.expert = __popc(__ballot_sync(~0u, known.begin_tile[lane + 1] * Narrow::BLOCKS <= unit));
    const int inside = unit - known.begin_tile[u.expert] * Narrow::BLOCKS;
    u.block = inside % Narrow::BLOCKS;
    u.row = known.begin_row[u.expert] + inside / Narrow::BLOCKS * Narrow::ROWS;
    u.rows = min(Narrow::ROWS, known.begin_row[u.expert + 1] - u.row);
    return u;
}
// The lane's first piece of a unit's weights.
__device__ __forceinline__ const uint8_t* piece_of(const uint8_t* weights, const Unit& u) {
    const int lane = threadIdx.x & 31;
    return weights + (static_cast<size_t>(u.expert) * 2 * kInner + u.block * 16 + (lane >> 2)) * kHidden +
           (threadIdx.x >> 5) * kSteps * 128 + (lane & 3) * 16;
}
// Lanes 0 to 7 get the scales of the up rows of the warp's steps, lanes 8 to 15 those of the gate rows.
__device__ __forceinline__ float scale_of(const Inputs& in, const Unit& u) {
    const int lane = threadIdx.x & 31;
    if (lane >= 16) return 0.0f;
    return in.first_scale[(u.expert * 32 + (lane >> 3) * 16 + (u.block >> 3)) * (kHidden / 128) +
                          (threadIdx.x >> 5) * kSteps + (lane & 7)];
}

// Blocks take neighbouring units, so that their tokens stay in shared memory for most of the time.
__global__ void __launch_bounds__(kFirstThreads, 2) stream_first(const Inputs in, const uint8_t* weights) {
    extern __shared__ __align__(16) unsigned char memory[];
    FirstShared& shared = *reinterpret_cast<FirstShared*>(memory);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, c = lane & 3;
    for (int i = threadIdx.x; i < kHidden / 128 * in.tokens; i += kFirstThreads)
        shared.scale[i / in.tokens][i % in.tokens] = in.hidden_scale[i];
    choose_rows(in, shared.known);
    launch_dependents();  // the second product reads what the first block has told
    const int units = shared.known.begin_tile[32] * Narrow::BLOCKS, block = blockIdx.x, blocks = gridDim.x;
    int unit = units * block / blocks;
    const int end = units * (block + 1) / blocks;
    if (unit >= end) return;
    constexpr size_t GATE = static_cast<size_t>(kInner) * kHidden;
    Rows a[2];
    Unit now = unit_of(shared.known, unit);
    float by = scale_of(in, now);
    const uint8_t* from = piece_of(weights, now);
#pragma unroll
    for (int i = 0; i < 2; ++i) load_rows(a[i], from + i * 128, from + GATE + i * 128, kHidden);
    int parity = 0, held = -1;
#pragma unroll 1
    for (; unit < end; ++unit, parity ^= 1) {
        if (now.row != held) {
            held = now.row;
            __syncthreads();  // all have done with the tokens before
            for (int i = threadIdx.x; i < now.rows * (kHidden / 16); i += kFirstThreads) {
                const int row = i / (kHidden / 16), piece = i % (kHidden / 16) * 16;
                copy16(shared_address(&shared.tokens[row][piece]),
                       in.hidden + static_cast<size_t>(shared.known.token[now.row + row]) * kHidden + piece);
            }
            copies_commit();
            copies_wait<0>();
            __syncthreads();
        }
        float sum[2][4] = {};  // up and gate
        const float* scale0 = shared.scale[warp * kSteps];
        const float* scale1 = scale0;
        if (c * 2 < now.rows) scale0 += shared.known.token[now.row + c * 2];
        if (c * 2 + 1 < now.rows) scale1 += shared.known.token[now.row + c * 2 + 1];
        const Unit next = unit_of(shared.known, min(unit + 1, units - 1));
        const float next_by = scale_of(in, next);
        const uint8_t* mine = &shared.tokens[g][warp * kSteps * 128 + c * 16];
#pragma unroll 1
        for (int step = 0; step < kSteps; step += 2) {
            // The last two steps leave room for the next unit's first two.
            from = step + 2 < kSteps ? from + 256 : piece_of(weights, next);
            const bool wanted = step + 2 < kSteps || unit + 1 < end;
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const float by0 = __shfl_sync(~0u, by, step + i), by1 = __shfl_sync(~0u, by, 8 + step + i);
                const uint4 b[2] = {*reinterpret_cast<const uint4*>(mine), *reinterpret_cast<const uint4*>(mine + 64)};
                const float t0 = *scale0, t1 = *scale1;
                mine += 128, scale0 += kMost, scale1 += kMost;
#pragma unroll
                for (int m = 0; m < 2; ++m) {
                    float d[4];
                    multiply_rows(d, a[i].v[m][0], a[i].v[m][1], b);
                    const float its = m ? by1 : by0;
                    sum[m][0] = fmaf(d[0], t0 * its, sum[m][0]), sum[m][1] = fmaf(d[1], t1 * its, sum[m][1]);
                    sum[m][2] = fmaf(d[2], t0 * its, sum[m][2]), sum[m][3] = fmaf(d[3], t1 * its, sum[m][3]);
                }
                if (wanted) load_rows(a[i], from + i * 128, from + GATE + i * 128, kHidden);
            }
        }
        auto& sums = shared.sums[parity];
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int i = 0; i < 4; ++i) sums[warp][m][c * 2 + (i & 1)][g + (i & 2) * 4] = sum[m][i];
        __syncthreads();
        if (threadIdx.x < now.rows * 16) {
            const int row = threadIdx.x >> 4, column = threadIdx.x & 15;
            float up = 0.0f, gate = 0.0f;
#pragma unroll
            for (int w = 0; w < kFirstWarps; ++w) up += sums[w][0][row][column], gate += sums[w][1][row][column];
            const float value = gate / (1.0f + __expf(-gate)) * up;
            in.unpacked[static_cast<size_t>(now.row + row) * kInner + now.block * 16 + column] =
                static_cast<uint16_t>(two_bf16(value, value));
        }
        now = next, by = next_by;
    }
}

constexpr int kOwned = 32;            // columns of a block of the second product
constexpr int kOwnedPitch = kOwned + 4;

struct SecondShared {
    Known known;
    float scale[kLocal][kInner / 128];
    int experts[kLocal];
    int count;
};

// A lane's 32 terms of a token, bfloat16, become e4m3 with one scale for the 128 of its four lanes.
struct Wide {
    uint4 v[4];
};
__device__ __forceinline__ void load_wide(Wide& w, const uint16_t* p) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
        w.v[i] = p ? *reinterpret_cast<const uint4*>(p + (i >> 1) * 64 + (i & 1) * 8) : make_uint4(0, 0, 0, 0);
}
__device__ __forceinline__ float pack(const Wide& w, uint4 (&b)[2]) {
    float v[32], most = 1e-30f;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const unsigned two[4] = {w.v[i].x, w.v[i].y, w.v[i].z, w.v[i].w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            v[i * 8 + j * 2] = __uint_as_float(two[j] << 16), v[i * 8 + j * 2 + 1] = __uint_as_float(two[j] & 0xffff0000u);
            most = fmaxf(most, fmaxf(fabsf(v[i * 8 + j * 2]), fabsf(v[i * 8 + j * 2 + 1])));
        }
    }
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
    const float by = 448.0f / most;
    unsigned r[8];
#pragma unroll
    for (int i = 0; i < 8; ++i)
        r[i] = two_e4m3(v[i * 4] * by, v[i * 4 + 1] * by) | two_e4m3(v[i * 4 + 2] * by, v[i * 4 + 3] * by) << 16;
    b[0] = make_uint4(r[0], r[1], r[2], r[3]), b[1] = make_uint4(r[4], r[5], r[6], r[7]);
    return most / 448.0f;
}

// A block owns 32 columns of all tokens; a warp has 256 terms of each expert and sums of its own.
__global__ void __launch_bounds__(kStreamers, 2) stream_second(const Inputs in, const uint8_t* weights) {
    extern __shared__ __align__(16) unsigned char memory[];
    SecondShared& shared = *reinterpret_cast<SecondShared*>(memory);
    float* all_totals = reinterpret_cast<float*>(memory + (sizeof(SecondShared) + 15) / 16 * 16);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, c = lane & 3;
    const int column = blockIdx.x * kOwned;
    for (int i = threadIdx.x; i < 8 * in.tokens * kOwnedPitch; i += kStreamers) all_totals[i] = 0.0f;
    for (int i = threadIdx.x; i < kLocal * (kInner / 128); i += kStreamers)
        shared.scale[i / (kInner / 128)][i % (kInner / 128)] =
            in.second_scale[(i / (kInner / 128) * (kHidden / 128) + column / 128) * (kInner / 128) + i % (kInner / 128)];
    // The routing was over before the first product let this one begin.
    find_rows<kStreamers>(in, shared.known);
    if (warp == 0) {
        const bool active = shared.known.begin_row[lane + 1] > shared.known.begin_row[lane];
        const unsigned which = __ballot_sync(~0u, active);
        if (active) shared.experts[__popc(which & ((1u << lane) - 1))] = lane;
        if (lane == 0) shared.count = __popc(which);
    }
    __syncthreads();
    float* totals = all_totals + warp * in.tokens * kOwnedPitch;
    const uint8_t* mine = weights + static_cast<size_t>(column + g) * kInner + warp * 256 + c * 16;
    const uint16_t* inner = in.unpacked + warp * 256 + c * 16;
    Rows a[2];
    Wide wide;
    if (shared.count) {
        const uint8_t* from = mine + static_cast<size_t>(shared.experts[0]) * kHidden * kInner;
#pragma unroll
        for (int i = 0; i < 2; ++i) load_rows(a[i], from + i * 128, from + i * 128 + 16 * kInner, kInner);
    }
    wait_for_primary();
    if (shared.count) load_wide(wide, g < shared.known.begin_row[shared.experts[0] + 1] ? inner + static_cast<size_t>(g) * kInner : nullptr);
#pragma unroll 1
    for (int turn = 0; turn < shared.count; ++turn) {
        const int expert = shared.experts[turn], begin = shared.known.begin_row[expert], end = shared.known.begin_row[expert + 1];
        const int next = turn + 1 < shared.count ? shared.experts[turn + 1] : -1;
        const int next_end = next < 0 ? 0 : shared.known.begin_row[next + 1];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const float by = shared.scale[expert][warp * 2 + i];
#pragma unroll 1
            for (int row = begin; row < end; row += 8) {
                uint4 b[2];
                const float scale = pack(wide, b);
                {  // the tokens that come next: of this step, of the expert's other step, of the next expert
                    const bool last = row + 8 >= end;
                    const int at = (last ? (i == 0 ? begin : end) : row + 8) + g;
                    const int most = last && i == 1 ? next_end : end;
                    load_wide(wide, at < most ? inner + static_cast<size_t>(at) * kInner + (last ? 1 - i : i) * 128 : nullptr);
                }
                float share[2];
                int token[2];
#pragma unroll
                for (int j = 0; j < 2; ++j) {
                    const int at = row + c * 2 + j;
                    const float its = __shfl_sync(~0u, scale, (c * 2 + j) * 4);
                    token[j] = at < end ? shared.known.token[at] : -1;
                    share[j] = at < end ? shared.known.share[at] * its * by : 0.0f;
                }
#pragma unroll
                for (int m = 0; m < 2; ++m) {
                    float d[4];
                    multiply_rows(d, a[i].v[m][0], a[i].v[m][1], b);
#pragma unroll
                    for (int j = 0; j < 4; ++j)
                        if (token[j & 1] >= 0) {
                            float* to = totals + token[j & 1] * kOwnedPitch + m * 16 + g + (j & 2) * 4;
                            *to = fmaf(d[j], share[j & 1], *to);
                        }
                }
            }
            if (next >= 0) {
                const uint8_t* from = mine + static_cast<size_t>(next) * kHidden * kInner + i * 128;
                load_rows(a[i], from, from + 16 * kInner, kInner);
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < in.tokens * (kOwned / 4); i += kStreamers) {
        const int token = i / (kOwned / 4), at = i % (kOwned / 4) * 4;
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
        for (int w = 0; w < 8; ++w) {
            const float4 v = *reinterpret_cast<const float4*>(all_totals + (w * in.tokens + token) * kOwnedPitch + at);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
        }
        *reinterpret_cast<uint2*>(in.output + static_cast<size_t>(token) * kHidden + column + at) =
            make_uint2(two_bf16(sum.x, sum.y), two_bf16(sum.z, sum.w));
    }
}

int launch(const Inputs& in, const uint8_t* first, const uint8_t* second, void* stream) {
    constexpr int first_bytes = sizeof(FirstShared);
    const int second_bytes = (sizeof(SecondShared) + 15) / 16 * 16 + 8 * in.tokens * kOwnedPitch * 4;
    if (cudaError_t error = cudaFuncSetAttribute(stream_first, cudaFuncAttributeMaxDynamicSharedMemorySize, first_bytes))
        return error;
    if (cudaError_t error = cudaFuncSetAttribute(stream_second, cudaFuncAttributeMaxDynamicSharedMemorySize, second_bytes))
        return error;
    int device = 0, processors = 0;
    if (cudaError_t error = cudaGetDevice(&device)) return error;
    if (cudaError_t error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device))
        return error;
    stream_first<<<dim3(processors * 2), kFirstThreads, first_bytes, static_cast<cudaStream_t>(stream)>>>(in, first);
    if (cudaError_t error = cudaGetLastError()) return error;
    return launch_early(stream_second, dim3(kHidden / kOwned), kStreamers, second_bytes, stream, in, second);
}
}  // namespace streamed
