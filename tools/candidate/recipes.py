"""How to compile against each binding: headers, definitions, libraries, and their versions.

The full `torch/extension.h` costs a compiler 20 s in a C++ file and a minute in a CUDA file. A
light header of that name serves sources that name no more of torch than it declares.
"""

from __future__ import annotations

import importlib
import re
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..wire import BuildRequest
from .faults import CandidateError
from .sources import Folders, package_name

_TORCH_NAME = re.compile(r"\btorch::(\w+)")
_LIGHT_NAME = re.compile(
    r"Tensor|TensorOptions|ScalarType|Device|DeviceType|IntArrayRef|ArrayRef|Scalar|dtype|device"
    r"|empty|empty_like|full|ones|zeros|zeros_like|k[A-Z]\w*"
)
"""What the light header declares in torch's namespace."""

LIGHT_EXTENSION_HEADER = """#pragma once
#include <torch/csrc/utils/pybind.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>
namespace torch {
using namespace at;
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


@dataclass(frozen=True)
class Recipe:
    """Flags of one way to compile; paths as strings, ready for a command line."""

    include: tuple[str, ...]
    define: tuple[str, ...]
    standard: str
    libraries: tuple[str, ...]
    nvcc: tuple[str, ...] = ()
    retry: Recipe | None = None
    """Slower flags to try where a compile under these failed for want of declarations."""
    versions: tuple[str, ...] = field(default=())


def tvm_recipe(tvm_ffi: Any) -> Recipe:
    """For sources that include tvm-ffi's headers; takes the imported package."""
    information = importlib.import_module("tvm_ffi.libinfo")
    library = Path(information.find_libtvm_ffi())
    include = (information.find_include_path(), information.find_dlpack_include_path())
    return Recipe(
        include=tuple(map(str, include)),
        define=(),
        standard="c++17",
        libraries=(f"-L{library.parent}", f"-l{library.stem.removeprefix('lib')}"),
        versions=("tvm-ffi", str(getattr(tvm_ffi, "__version__", ""))),
    )


def torch_recipe(request: BuildRequest, folders: Folders) -> Recipe:
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
    light = folders.builds / "light"
    (light / "torch").mkdir(parents=True, exist_ok=True)
    (light / "torch" / "extension.h").write_text(LIGHT_EXTENSION_HEADER)
    names = ["c10", "torch_cpu", "torch", "torch_python"]
    names += [n for n in ("c10_cuda", "torch_cuda") if (root / "lib" / f"lib{n}.so").is_file()]
    full = Recipe(
        include=include,
        define=(
            f"TORCH_EXTENSION_NAME={package_name(request)}",
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
    return Recipe(
        include=(str(light), *include),
        define=full.define,
        standard=full.standard,
        libraries=full.libraries,
        nvcc=full.nvcc,
        retry=full,
        versions=full.versions,
    )


def light_header_serves(request: BuildRequest) -> bool:
    """Whether the sources name nothing of torch's namespace that the light header leaves out."""
    names = {n for s in request.sources for n in _TORCH_NAME.findall(s["content"])}
    return all(_LIGHT_NAME.fullmatch(name) for name in names)


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
