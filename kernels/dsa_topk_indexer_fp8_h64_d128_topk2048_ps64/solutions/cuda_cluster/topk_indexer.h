// What a call hands to the kernels.
#pragma once

struct Arguments {
    const unsigned char* queries;  // [batch, 64, 128], fp8
    const unsigned char* cache;    // a page is 64 x 128 fp8 values, then 64 floats
    const float* weights;          // [batch, 64]
    const int* seq_lens;           // [batch]
    const int* tables;             // [batch, width]
    int* out;                      // [batch, 2048]
    float* scores;                 // score_count of them
    int batch, width;
};

// Scores that a call keeps in global memory; 0 where it needs none.
long long score_count(int batch, int width);
// Enqueues a call; returns a cudaError_t.
int launch_topk_indexer(const Arguments& arguments, void* stream);
