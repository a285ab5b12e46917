// What a source names of pybind11.
#pragma once
#pragma GCC system_header
#include "kernel_harness_python.h"
namespace pybind11 {
using kernel_harness_torch::python::arg;
using kernel_harness_torch::python::module_;
}
namespace py = pybind11;
#define KH_PASTE(a, b) a##b
#define KH_NAMED(a, b) KH_PASTE(a, b)
#define KH_TEXT(a) #a
#define KH_NAME(a) KH_TEXT(a)
#define PYBIND11_MODULE(name, variable)                                                   \
  static void KH_NAMED(kernel_harness_fill_, name)(::pybind11::module_&);                 \
  extern "C" __attribute__((visibility("default"), used)) ::_object* KH_NAMED(            \
      PyInit_, name)() {                                                                  \
    return ::kernel_harness_torch::python::make_module(                                   \
        KH_NAME(name), &KH_NAMED(kernel_harness_fill_, name));                            \
  }                                                                                       \
  static void KH_NAMED(kernel_harness_fill_, name)(::pybind11::module_ & variable)
