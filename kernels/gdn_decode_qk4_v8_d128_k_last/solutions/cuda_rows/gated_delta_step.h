// What a call hands to the kernel.
#pragma once

typedef const unsigned short* bf16_ptr;

struct Inputs {
    bf16_ptr q, k, v;
    const float* state;
    const float* A_log;
    bf16_ptr a;
    const float* dt_bias;
    bf16_ptr b;
    unsigned short* output;
    float* new_state;
    float scale;
    int batch;
};

// Enqueues a call; returns a cudaError_t.
int launch_gated_delta_step(const Inputs& inputs, void* stream);
