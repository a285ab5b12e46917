"""How to compile against each binding: headers, definitions, libraries, and their versions.

The full `torch/extension.h` costs a compiler 20 s in a C++ file and a minute in a CUDA file. A
light header of that name serves sources that name no more of torch than it declares, and a thin
one, which includes nothing of torch, most of them.
"""

from __future__ import annotations

import importlib
import re
import sys
import sysconfig
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ...messages.candidate import BuildRequest
from ..faults import CandidateError
from ..torch_shim import eligibility as thin
from .sources import Folders

_TORCH_NAME = re.compile(r"\btorch::(\w+)")
_LIGHT_NAME = re.compile(
    r"Tensor|TensorOptions|ScalarType|Device|DeviceType|IntArrayRef|ArrayRef|Scalar|dtype|device"
    r"|empty|empty_like|full|ones|zeros|zeros_like|k[A-Z]\w*"
)
"""What the light header declares in torch's namespace."""
_CAST_NAME = re.compile(
    r"\b(?:torch|at|c10)::(?:ScalarType|Device|IntArrayRef|ArrayRef|Scalar|Layout|Generator|Stream"
    r"|SymInt\w*|MemoryFormat|complex)\b"
)
"""Types that torch teaches pybind11 to convert, besides Tensor."""
EXTENSION = "candidate_extension"
"""Name of every candidate's extension module: each has a process of its own."""
EVERY_CASTER = "KERNEL_HARNESS_EVERY_CASTER"
OWN_BINDING = "KERNEL_HARNESS_OWN_BINDING"
"""Has the light header leave out pybind11, which costs a compiler more than torch's tensor does."""

LIGHT_EXTENSION_HEADER = """#pragma once
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
#define KH_OPTIONS                                                                   \\
  c10::optTypeMetaToScalarType(o.dtype_opt()), o.layout_opt(), o.device_opt(),       \\
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
"""
"""The conversion of Tensor is declared as torch declares it, and lies in torch's own library."""


@dataclass(frozen=True)
class CompileConfig:
    """Flags of one way to compile; paths as strings, ready for a command line."""

    include: tuple[str, ...]
    define: tuple[str, ...]
    standard: str
    libraries: tuple[str, ...]
    nvcc: tuple[str, ...] = ()
    retry: CompileConfig | None = None
    """Slower flags to try where a compile under these failed for want of declarations."""
    support: Path | None = None
    """C++ source of what these headers only declare; compiled with the flags of `base`."""
    support_define: tuple[str, ...] = ()
    own_types: bool = False
    """Whether a tensor under these headers is another type than torch's; they lack much besides."""
    versions: tuple[str, ...] = field(default=())

    @property
    def base(self) -> CompileConfig:
        """The first recipe, from this one on, that needs no support."""
        recipe = self
        while recipe.support is not None and recipe.retry is not None:
            recipe = recipe.retry
        return recipe


def tvm_recipe(tvm_ffi: Any) -> CompileConfig:
    """For sources that include tvm-ffi's headers; takes the imported package."""
    information = importlib.import_module("tvm_ffi.libinfo")
    library = Path(information.find_libtvm_ffi())
    include = (information.find_include_path(), information.find_dlpack_include_path())
    return CompileConfig(
        include=tuple(map(str, include)),
        define=(),
        standard="c++17",
        libraries=(f"-L{library.parent}", f"-l{library.stem.removeprefix('lib')}"),
        versions=("tvm-ffi", str(getattr(tvm_ffi, "__version__", ""))),
    )


def torch_recipe(request: BuildRequest, folders: Folders) -> CompileConfig:
    """For sources that include torch\'s headers.

    Raises:
        CandidateError: of kind \'toolchain\' when Python\'s own headers are missing.
    """
    python_headers = sysconfig.get_path("include")
    if not Path(python_headers, "Python.h").is_file():
        raise CandidateError(
            "toolchain", f"Python.h is not in {python_headers}; install python3-dev"
        )
    root = Path(torch.__file__).parent
    include = (
        str(root / "include"),
        str(root / "include" / "torch" / "csrc" / "api" / "include"),
        python_headers,
    )
    include += _missing_headers(root / "include", folders)
    light = folders.builds / "light"
    (light / "torch").mkdir(parents=True, exist_ok=True)
    (light / "torch" / "extension.h").write_text(LIGHT_EXTENSION_HEADER)
    names = ["c10", "torch_cpu", "torch", "torch_python"]
    names += [n for n in ("c10_cuda", "torch_cuda") if (root / "lib" / f"lib{n}.so").is_file()]
    full = CompileConfig(
        include=include,
        define=(
            f"TORCH_EXTENSION_NAME={EXTENSION}",
            "TORCH_API_INCLUDE_EXTENSION_H",
            f"_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
        ),
        standard="c++20",
        libraries=(f"-L{root / 'lib'}", *(f"-l{name}" for name in names)),
        nvcc=(
            "-D__CUDA_NO_HALF_OPERATORS__",
            "-D__CUDA_NO_HALF_CONVERSIONS__",
            "-D__CUDA_NO_BFLOAT16_CONVERSIONS__",
            "-D__CUDA_NO_HALF2_OPERATORS__",
            "--expt-relaxed-constexpr",
            "--diag-suppress=3189",
        ),
        versions=("torch", torch.__version__, sys.version),
    )
    if not light_header_serves(request):
        return full
    every = needs_every_caster(request)
    served = replace(
        full,
        include=(str(light), *include),
        define=(*full.define, *((EVERY_CASTER,) if every else ())),
        retry=full,
        versions=(*full.versions, LIGHT_EXTENSION_HEADER),
    )
    if every or not thin.serves_binding(request):
        return served
    cuda = (thin.WITH_CUDA,) if "c10_cuda" in names else ()
    return _thin_recipe(request, replace(served, support_define=cuda), folders)


def _thin_recipe(request: BuildRequest, light: CompileConfig, folders: Folders) -> CompileConfig:
    """The quicker recipes before the light one: without pybind11, and without all of torch."""
    headers, support = thin.lay(folders.builds)
    own_binding = replace(
        light,
        include=(*light.include, str(support.parent)),
        define=(*light.define, OWN_BINDING),
        retry=light,
        support=support,
        versions=(*light.versions, *thin.TEXTS),
    )
    if not thin.serves(request):
        return own_binding
    return replace(
        own_binding,
        include=(str(headers), *light.include),
        define=light.define,
        retry=own_binding,
        own_types=True,
    )


def _missing_headers(include: Path, folders: Folders) -> tuple[str, ...]:
    """A folder with the one header of torch's CUDA side that its build for the CPU lacks.

    So sources that ask torch for the current stream can be compiled for targets without a GPU.
    """
    name = Path("c10", "cuda", "impl", "cuda_cmake_macros.h")
    if (include / name).is_file():
        return ()
    header = folders.builds / "missing" / name
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text("#pragma once\n#define C10_CUDA_BUILD_SHARED_LIBS\n")
    return (str(folders.builds / "missing"),)


def light_header_serves(request: BuildRequest) -> bool:
    """Whether the sources name nothing of torch's namespace that the light header leaves out."""
    names = {n for s in request.sources for n in _TORCH_NAME.findall(s["content"])}
    return all(_LIGHT_NAME.fullmatch(name) for name in names)


def needs_every_caster(request: BuildRequest) -> bool:
    """Whether the sources name a type, other than Tensor, that only torch can convert."""
    return any(_CAST_NAME.search(s["content"]) for s in request.sources)


def binding_module(name: str, remedy: str) -> Any:
    """Imports a binding's package.

    Raises:
        CandidateError: of kind 'toolchain', with the remedy.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CandidateError(
            "toolchain", f"{name} cannot be imported ({error}); {remedy}"
        ) from error
