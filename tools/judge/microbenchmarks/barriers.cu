// Barriers in a row, of a block, of a cluster and of the whole grid; steps of each are counted.
// Compiled by NVRTC with CLUSTER defined: no header is included.

#ifndef CLUSTER
#define CLUSTER 1
#endif

extern "C" __global__ void block_barrier(int* out, int steps) {
    for (int i = 0; i < steps; ++i) __syncthreads();
    if (threadIdx.x == 0) out[blockIdx.x] = steps;
}

#if __CUDA_ARCH__ >= 900
extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) cluster_barrier(int* out, int steps) {
    for (int i = 0; i < steps; ++i) {
        asm volatile("barrier.cluster.arrive.aligned;" ::: "memory");
        asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
    }
    if (threadIdx.x == 0) out[blockIdx.x] = steps;
}
#endif

// Of all blocks by atomics: state[0] counts arrivals, state[1] is the number of the barrier. Each
// wait ends by itself after about a second, for the blocks may not all be resident.
extern "C" __global__ void grid_barrier(int* out, int* state, int steps) {
    volatile int* number = state + 1;
    for (int i = 0; i < steps; ++i) {
        __syncthreads();
        if (threadIdx.x == 0) {
            const int now = *number;
            __threadfence();
            if (atomicAdd(state, 1) == static_cast<int>(gridDim.x) - 1) {
                state[0] = 0;
                __threadfence();
                atomicAdd(state + 1, 1);
            } else {
                const long long begin = clock64();
                while (*number == now && clock64() - begin < 2000000000ll) {
                }
            }
            __threadfence();
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) out[blockIdx.x] = steps;
}
