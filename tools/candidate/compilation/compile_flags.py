"""Flags for compiling against each binding: headers, definitions, libraries, and versions.

The full `torch/extension.h` costs a compiler 20 s in a C++ file and a minute in a CUDA file. A
light header of that name serves sources that name no more of torch than it declares, and the torch
shim, which includes nothing of torch, most of them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ...messages.candidate import BuildRequest
from ..faults import CandidateError
from ..torch_shim import eligibility
from ..torch_shim.headers import LIGHT_EXTENSION_HEADER
from .sources import Folders

_TORCH_NAME = re.compile(r"\btorch::(\w+)")
_LIGHT_NAME = re.compile(
    r"Tensor|TensorOptions|ScalarType|Device|DeviceType|IntArrayRef|ArrayRef|Scalar|dtype|device"
    r"|empty|empty_like|full|ones|zeros|zeros_like|k[A-Z]\w*"
)
"""What the light header declares in torch's namespace."""
_DISPATCH = re.compile(r"\bAT_(?:DISPATCH|PRIVATE)_\w+")
"""Macros that choose a type at run time; ATen's own headers alone have them."""
_CAST_NAME = re.compile(
    r"\b(?:torch|at|c10)::(?:ScalarType|Device|IntArrayRef|ArrayRef|Scalar|Layout|Generator|Stream"
    r"|SymInt\w*|MemoryFormat|complex)\b"
)
"""Types that torch teaches pybind11 to convert, besides Tensor."""
_CUTLASS = (
    ("cutlass_library", "source"),
    ("flashinfer", "data/cutlass"),
    ("tilelang", "3rdparty/cutlass"),
)
"""Packages that bring the headers of CUTLASS, and the folder of its tree in each."""
_HEADERS_OF: dict[str, tuple[tuple[str, str], ...]] = {
    "cutlass": _CUTLASS,
    "nvidia-cutlass": _CUTLASS,
}
"""What a candidate may name under `dependencies` for its headers, and where they may lie."""
_PACKAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
EXTENSION = "candidate_extension"
"""Name of every candidate's extension module: each has a process of its own."""
EVERY_CASTER = "KERNEL_HARNESS_EVERY_CASTER"
OWN_BINDING = "KERNEL_HARNESS_OWN_BINDING"
"""Has the light header leave out pybind11, which costs a compiler more than torch's tensor does."""


@dataclass(frozen=True)
class CompileConfig:
    """Flags of one way to compile; paths as strings, ready for a command line."""

    include: tuple[str, ...]
    define: tuple[str, ...]
    standard: str
    libraries: tuple[str, ...]
    nvcc: tuple[str, ...] = ()
    cxx: tuple[str, ...] = ()
    retry: CompileConfig | None = None
    """Slower flags to try where a compile under these failed for want of declarations."""
    support: Path | None = None
    """C++ source of what these headers only declare; compiled with the flags of `base`."""
    support_define: tuple[str, ...] = ()
    own_types: bool = False
    """Whether a tensor under these headers is another type than torch's; they lack much besides."""
    versions: tuple[str, ...] = field(default=())

    def with_headers(
        self, include: tuple[str, ...], nvcc: tuple[str, ...], versions: tuple[str, ...]
    ) -> CompileConfig:
        """The config, and those tried after it, with the headers of packages."""
        return replace(
            self,
            include=(*self.include, *include),
            nvcc=(*self.nvcc, *(word for word in nvcc if word not in self.nvcc)),
            versions=(*self.versions, *versions),
            retry=self.retry.with_headers(include, nvcc, versions) if self.retry else None,
        )

    @property
    def base(self) -> CompileConfig:
        """The first config, from this one on, that needs no support."""
        config = self
        while config.support is not None and config.retry is not None:
            config = config.retry
        return config


def tvm_config(tvm_ffi: Any) -> CompileConfig:
    """Flags for sources that include the headers of tvm-ffi, the imported `package`."""
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


def with_packages(config: CompileConfig, dependencies: Sequence[str]) -> CompileConfig:
    """The config with the headers of packages that a candidate names under `dependencies`.

    Raises:
        CandidateError: of kind 'toolchain' when a named one is not installed.
    """
    for dependency in dependencies:
        named = _PACKAGE_NAME.match(dependency.strip())
        name = re.sub(r"[-_.]+", "-", named.group()).lower() if named else ""
        if name not in _HEADERS_OF:
            continue
        tree, version = _header_tree(name)
        include = tuple(str(tree / part) for part in ("include", "tools/util/include"))
        config = config.with_headers(include, ("--expt-relaxed-constexpr",), (name, version))
    return config


def _header_tree(name: str) -> tuple[Path, str]:
    """The folder of a library's tree, and the version of the package that brings it."""
    for package, inside in _HEADERS_OF[name]:
        found = importlib.util.find_spec(package)
        for place in (found and found.submodule_search_locations) or ():
            if Path(place, inside, "include").is_dir():
                versions = importlib.metadata.packages_distributions().get(package, ())
                said = [f"{one} {importlib.metadata.version(one)}" for one in versions]
                return Path(place, inside), ", ".join(said)
    packages = ", ".join(package for package, _ in _HEADERS_OF[name])
    raise CandidateError(
        "toolchain",
        f"dependencies names {name}, whose headers no installed package brings (looked in "
        f"{packages}); pip install nvidia-cutlass",
    )


def torch_flags(folders: Folders) -> CompileConfig:
    """For sources that include torch\'s own headers, whichever.

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
    names = ["c10", "torch_cpu", "torch", "torch_python"]
    names += [n for n in ("c10_cuda", "torch_cuda") if (root / "lib" / f"lib{n}.so").is_file()]
    return CompileConfig(
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


def torch_config(request: BuildRequest, folders: Folders) -> CompileConfig:
    """For sources that include torch's headers, the quickest that may serve.

    Raises:
        CandidateError: of kind 'toolchain' when Python's own headers are missing.
    """
    full = torch_flags(folders)
    if not light_header_serves(request):
        return full
    light = folders.builds / "light"
    (light / "torch").mkdir(parents=True, exist_ok=True)
    (light / "torch" / "extension.h").write_text(LIGHT_EXTENSION_HEADER)
    every = needs_every_caster(request)
    served = replace(
        full,
        include=(str(light), *full.include),
        define=(*full.define, *((EVERY_CASTER,) if every else ())),
        retry=full,
        versions=(*full.versions, LIGHT_EXTENSION_HEADER),
    )
    if every or not eligibility.serves_binding(request):
        return served
    cuda = (eligibility.WITH_CUDA,) if "-lc10_cuda" in full.libraries else ()
    return _shim_config(request, replace(served, support_define=cuda), folders)


def _shim_config(request: BuildRequest, light: CompileConfig, folders: Folders) -> CompileConfig:
    """The quickest config that may serve: the torch shim, else its binding without pybind11."""
    headers, support = eligibility.write_files(folders.builds)
    own_binding = replace(
        light,
        include=(*light.include, str(support.parent)),
        define=(*light.define, OWN_BINDING),
        retry=light,
        support=support,
        versions=(*light.versions, *eligibility.TEXTS),
    )
    if not eligibility.serves(request):
        return own_binding
    return replace(
        own_binding,
        include=(str(headers), *light.include),
        define=light.define,
        retry=own_binding,
        own_types=True,
    )


def _missing_headers(include: Path, folders: Folders) -> tuple[str, ...]:
    """Writes the one CUDA header that torch's CPU build lacks; returns its folder.

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
    """Whether the sources name nothing of torch that the light header leaves out."""
    if any(_DISPATCH.search(s["content"]) for s in request.sources):
        return False
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
