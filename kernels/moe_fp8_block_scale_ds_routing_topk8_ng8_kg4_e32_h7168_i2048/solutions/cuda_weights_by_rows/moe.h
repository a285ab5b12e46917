// What a call hands to the kernels.
#pragma once
#include <cuda.h>

#include <cstdint>

constexpr int kExperts = 256, kLocal = 32, kHidden = 7168, kInner = 2048, kTop = 8;

struct Inputs {
    const float* logits;          // [tokens, 256]
    const uint16_t* bias;         // [256], bfloat16
    const uint8_t* hidden;        // [tokens, 7168], e4m3
    const float* hidden_scale;    // [56, tokens]
    const float* first_scale;     // [32, 32, 56]
    const float* second_scale;    // [32, 56, 16]
    uint16_t* output;             // [tokens, 7168], bfloat16
    int offset, tokens;
    float factor;
    int nothing;  // no byte is left undefined
    int* counts;                  // [32]: pairs of each local expert; zeros where needs_zeros
    int* list;                    // [32, tokens]: tokens of each local expert
    int* places;                  // [tokens, 8]: expert << 20 | place in its list, or -1
    float* shares;                // [tokens, 8]
    uint8_t* inner;               // [8 * tokens, 2048], e4m3, rows in the order of the lists
    float* inner_scale;           // [8 * tokens, 16]
    uint8_t* rows;                // [8 * tokens, 7168], e4m3: tokens in the order of the lists, for many
    float* rows_scale;            // [8 * tokens, 56]
    uint16_t* parts;              // [8 * tokens, 7168], bfloat16
};

// How a copy finds a tile of 128 rows and 128 columns: of the weights, experts one below the other,
// and for many tokens of what they are multiplied by.
struct Maps {
    CUtensorMap first, second, rows, inner;
};

// Whether a call is one of many tokens: then `counts` must hold zeros, and `rows` be there.
bool are_many(int tokens);
int launch_route(const Inputs& in, void* stream);
int launch_gather(const Inputs& in, void* stream);
int launch_many(const Inputs& in, const Maps& maps, void* stream);
// Routing and both products.
int launch_products(const Inputs& in, const Maps& maps, void* stream);
int launch_combine(const Inputs& in, void* stream);
