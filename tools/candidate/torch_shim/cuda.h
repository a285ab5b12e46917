// Stands for torch's and c10's CUDA headers (headers.CUDA_HEADERS).
#pragma once
#pragma GCC system_header
#include <cuda_runtime_api.h>
#include <torch/extension.h>
#define C10_CUDA_CHECK(call)                                                             \
  do {                                                                                   \
    ::kernel_harness_torch::cuda::check(static_cast<int>(call), __FILE__, __func__,      \
                                        static_cast<uint32_t>(__LINE__));                \
  } while (0)
#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
