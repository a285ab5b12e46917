// What a call hands to the kernels.
#pragma once
#include <cuda.h>

#include <cstdint>

typedef const uint16_t* bf16_ptr;

struct Inputs {
    bf16_ptr q, k, v;
    const float* state;
    const float* A_log;
    bf16_ptr a;
    const float* dt_bias;
    bf16_ptr b;
    const long long* cu_seqlens;
    uint16_t* output;
    float* new_state;
    char* images;  // [T / 64 + N + 1, 8, kImage]
    char* ends;    // [most_ends, 8, 4, kEnd]
    int split;      // whether long sequences are cut into segments
    int least_cut;  // chunks of a sequence that is cut
    int most_ends;  // the call has at most so many segments that are not the last of their sequence
    float scale;
    int sequences;
    long long tokens;
};

// How a copy finds tiles of 64 tokens and 64 columns: two of k and q, one of v.
struct Maps {
    CUtensorMap k, q, v;
};

// Decides `split` and `most_ends`; returns the bytes of the ends of a call's segments.
long long plan_segments(Inputs& inputs);
// Bytes of the images of a call; 0 where it needs none.
long long image_bytes(long long tokens, int sequences);
// Enqueues a call; returns a cudaError_t.
int launch_gated_delta(const Inputs& inputs, const Maps& maps, long long tokens, void* stream);
// Whether a call of so many tokens needs maps.
bool needs_maps(long long tokens);
