// What a call hands to the kernels.
#pragma once

struct Arguments {
    const unsigned short *q_nope, *q_pe;  // [tokens, 16, 512] and [tokens, 16, 64], bf16
    const unsigned short *ckv, *kpe;      // the pages, bf16
    const int* indices;                   // [tokens, 2048]
    unsigned short* output;
    float* lse;
    float* parts;  // [tokens, splits_of, 16, 512]
    float* sums;   // [tokens, splits_of, 16, 2]
    float scale;   // of logits to base 2
    int tokens;
};

// Both enqueue a call and return a cudaError_t.
// One launch, for tokens few enough for their clusters to fit the device together; no parts, no sums.
int launch_clustered(const Arguments& arguments, void* stream);
// Two launches.
int launch_split(const Arguments& arguments, void* stream);
// Blocks that share out a token in the first of them.
int splits_of(int tokens);
