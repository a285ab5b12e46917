// What a call hands to the kernels.
#pragma once
#include <cuda.h>
#include <cuda_runtime.h>

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
    int* counts;                  // [32]: pairs of each local expert; zeros before where many blocks count
    int* list;                    // [32, tokens]: tokens of each local expert
    float* list_shares;           // [32, tokens]: their shares, of one or two tokens
    uint16_t* unpacked;           // [8 * tokens, 2048], bfloat16: inner products, of one or two tokens
    int* places;                  // [tokens, 8]: expert << 20 | place in its list, or -1
    float* shares;                // [tokens, 8]
    uint8_t* inner;               // [8 * tokens, 2048], e4m3, rows in the order of the lists
    float* inner_scale;           // [16, 8 * tokens]; for many [8 * tokens, 16]
    uint8_t* rows;                // [8 * tokens, 7168], e4m3: tokens in the order of the lists, for many
    float* rows_scale;            // [8 * tokens, 56]
    int* several;                 // tokens that have several local experts; counts[32] says how many; from 1025 tokens
    int* token_rows;              // [tokens, 8]: row of each choice, or -1; from 1025 tokens
    int2* row_target;             // [8 * tokens]: the token if it has no other row, or -1; bits of its share
    int* ready;                   // zeros before: gathered rows of each tile of 128; from 1025 tokens
    uint16_t* parts;              // [8 * tokens, 7168], bfloat16
};

// How a copy finds a tile of 128 rows and 128 columns: of the weights, experts one below the other,
// and for many tokens of what they are multiplied by.
struct Maps {
    CUtensorMap first, second, rows, inner;
};

// Each of these routes, multiplies and adds up. Scratch that it names must be there.
namespace streamed {  // up to 8 tokens: weights go from memory to registers
int launch(const Inputs& in, const uint8_t* first, const uint8_t* second, void* stream);
}
namespace gathered {  // any number: above kFew a kernel gathers the rows of each expert first
constexpr int kFew = 128;  // most tokens that blocks of the first product route themselves
int launch(const Inputs& in, const Maps& maps, void* stream);
}
namespace inside {  // above 128 tokens: idle warps of the first product gather the rows
int launch(const Inputs& in, const Maps& maps, void* stream);
}
