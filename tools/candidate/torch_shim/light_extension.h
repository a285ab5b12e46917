// A light torch/extension.h: the part of torch that most bindings name. The conversion of Tensor is
// declared as torch declares it, and lies in torch's own library.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like_ops.h>
#include <ATen/ops/empty_ops.h>
#include <ATen/ops/full_ops.h>
#include <ATen/ops/ones_ops.h>
#include <ATen/ops/zeros_like_ops.h>
#include <ATen/ops/zeros_ops.h>
#include <c10/core/ScalarType.h>
#include <c10/core/TensorOptions.h>
#include <c10/util/Exception.h>
#ifdef KERNEL_HARNESS_OWN_BINDING
#include <Python.h>
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>
#include <typeindex>
#include <unordered_map>
#include <unordered_set>
#include <valarray>
#include <variant>
#define KERNEL_HARNESS_WITH_ATEN
#include "kernel_harness_binding.h"
#else
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#ifdef KERNEL_HARNESS_EVERY_CASTER
#include <torch/csrc/utils/pybind.h>
#else
namespace py = pybind11;
namespace pybind11::detail {
template <>
struct __attribute__((visibility("default"))) type_caster<at::Tensor> {
  PYBIND11_TYPE_CASTER(at::Tensor, const_name("torch.Tensor"));
  bool load(handle source, bool);
  static handle cast(const at::Tensor& value, return_value_policy, handle);
};
}  // namespace pybind11::detail
#endif
#endif
namespace torch {
using namespace at;
#define KH_OPTIONS                                                                   \
  c10::optTypeMetaToScalarType(o.dtype_opt()), o.layout_opt(), o.device_opt(),       \
      o.pinned_memory_opt()
using Format = std::optional<MemoryFormat>;
inline Tensor empty(IntArrayRef size, const TensorOptions& o = {}, Format f = {}) {
  return _ops::empty_memory_format::call(c10::fromIntArrayRefSlow(size), KH_OPTIONS, f);
}
inline Tensor zeros(IntArrayRef size, const TensorOptions& o = {}) {
  return _ops::zeros::call(c10::fromIntArrayRefSlow(size), KH_OPTIONS);
}
inline Tensor ones(IntArrayRef size, const TensorOptions& o = {}) {
  return _ops::ones::call(c10::fromIntArrayRefSlow(size), KH_OPTIONS);
}
inline Tensor full(IntArrayRef size, const Scalar& value, const TensorOptions& o = {}) {
  return _ops::full::call(c10::fromIntArrayRefSlow(size), value, KH_OPTIONS);
}
inline Tensor empty_like(const Tensor& like, const TensorOptions& o = {}, Format f = {}) {
  return _ops::empty_like::call(like, KH_OPTIONS, f);
}
inline Tensor zeros_like(const Tensor& like, const TensorOptions& o = {}, Format f = {}) {
  return _ops::zeros_like::call(like, KH_OPTIONS, f);
}
#undef KH_OPTIONS
constexpr auto kUInt8 = at::kByte;
constexpr auto kInt8 = at::kChar;
constexpr auto kInt16 = at::kShort;
constexpr auto kInt32 = at::kInt;
constexpr auto kInt64 = at::kLong;
constexpr auto kFloat16 = at::kHalf;
constexpr auto kFloat32 = at::kFloat;
constexpr auto kFloat64 = at::kDouble;
}  // namespace torch
