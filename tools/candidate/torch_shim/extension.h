// Stands for torch/extension.h: what a source gets that includes it.
#pragma once
#pragma GCC system_header
#include "kernel_harness_binding.h"
namespace torch {
using namespace kernel_harness_torch;
constexpr auto kUInt8 = kByte, kInt8 = kChar, kInt16 = kShort, kInt32 = kInt, kInt64 = kLong,
               kFloat16 = kHalf, kFloat32 = kFloat, kFloat64 = kDouble;
}  // namespace torch
namespace at {
using namespace kernel_harness_torch;
}
namespace c10 {
using namespace kernel_harness_torch;
}
#define TORCH_CHECK(condition, ...)                                                       \
  if (__builtin_expect(!(condition), 0)) {                                                \
    ::kernel_harness_torch::fail(                                                         \
        __func__, __FILE__, static_cast<uint32_t>(__LINE__),                              \
        ::kernel_harness_torch::told(                                                     \
            "Expected " #condition                                                        \
            " to be true, but got false.  (Could this error message be improved?  If so," \
            " please report an enhancement request to PyTorch.)",                         \
            ##__VA_ARGS__)                                                                \
            .c_str());                                                                    \
  }
