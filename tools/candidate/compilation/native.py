"""CUDA and C++ solutions: compiled side by side, linked, kept by content, then loaded.

Two bindings, as FlashInfer-Trace names them: `tvm-ffi` and `torch`. How each is compiled against is
`configs`; what of an earlier build can be used again is `objects`.

A finished library is published under a key over the sources, the architecture, the flags and all
versions, before it is loaded; afterwards nothing from this process is published.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...messages.candidate import BuildRequest
from ..faults import CandidateError, compiler_excerpt
from ..torch_shim import eligibility
from . import toolchain
from .compile_flags import CompileConfig, binding_module, torch_config, tvm_config, with_packages
from .exports import check_exports
from .extensions import lend_tensors, load_extension
from .missing_headers import refuse_missing_library
from .object_cache import (
    DEVICE_FILES,
    HOST_FILES,
    compile_command,
    compile_objects,
    config_for,
    failed_for_headers,
    find_support,
)
from .own_flags import own_flags
from .sources import Folders, Product, entry_function, split_entry_point
from .toolchain import Toolchain

BUILD_VERSION = "3"
"""Changes when flags or steps here change, so that older products are not taken for new ones."""

TVM_FFI_REMEDY = "pip install apache-tvm-ffi"
_TORCH_MARKS = re.compile(r"\bPYBIND11_MODULE\b|\bTORCH_LIBRARY|torch/extension\.h")
_TVM_MARKS = re.compile(r"\bTVM_FFI_|\btvm/ffi/")


class TvmFfiBuilder:
    """Solutions that export functions through tvm-ffi."""

    def accepts(self, request: BuildRequest) -> bool:
        """Whether CUDA or C++ sources name this binding, or name none and include its headers."""
        return is_tvm_ffi(request)

    def build(self, request: BuildRequest, source_dir: Path, folders: Folders) -> Product:
        """Compiles, publishes, and loads by tvm-ffi."""
        library, cached, log = build_library(request, source_dir, folders)
        tvm_ffi = binding_module("tvm_ffi", TVM_FFI_REMEDY)
        folders.before_code()
        module = _loaded(lambda: tvm_ffi.load_module(str(library)))
        _, symbol = split_entry_point(request)
        return Product(entry_function(module, symbol, request), cached, log)


class TorchBuilder:
    """Solutions that export functions by pybind11 with torch's types."""

    def accepts(self, request: BuildRequest) -> bool:
        """Whether CUDA or C++ sources name this binding, or name none and include its headers."""
        return _binding(request) == "torch"

    def build(self, request: BuildRequest, source_dir: Path, folders: Folders) -> Product:
        """Compiles, publishes, and imports the extension module."""
        library, cached, log = build_library(request, source_dir, folders)
        lend_tensors(request, folders)
        folders.before_code()
        module = _loaded(lambda: load_extension(library))
        _, symbol = split_entry_point(request)
        return Product(entry_function(module, symbol, request), cached, log)


class CompiledOnlyBuilder:
    """CUDA sources on a machine without a GPU: compiled and never loaded."""

    def accepts(self, request: BuildRequest) -> bool:
        """Whether there is device code and no architecture to build it for."""
        bound = _binding(request) is not None
        return bound and request.cuda_arch is None and bool(device_files(request))

    def build(self, request: BuildRequest, source_dir: Path, folders: Folders) -> Product:
        """Sees that it could be compiled, and gives back a function that says why it cannot run."""
        tools = toolchain.find_toolchain(os.environ)  # noqa: TID251 - the candidate's own environment
        try:
            _config(request, folders)
            tools.require_nvcc()
        except CandidateError:  # something is not installed; what the text shows needs nothing
            check_exports(request)
            raise
        stub = stub_config(request, folders) if folders.kept else None
        if stub is not None and stub.support is not None:
            # While the cache is within reach: it costs 20 s, and is the same for every candidate.
            find_support(stub, folders, tools)

        def run(*arguments: Any) -> None:
            raise RuntimeError("CUDA sources run on a GPU only; here they are compiled for targets")

        return Product(run)


class UnboundBuilder:
    """CUDA and C++ sources whose binding is not recognised."""

    def accepts(self, request: BuildRequest) -> bool:
        """Whether no builder above accepted CUDA or C++ sources."""
        return request.language in ("cuda", "cpp")

    def build(self, request: BuildRequest, source_dir: Path, folders: Folders) -> Product:
        """Raises CandidateError naming the bindings that would be recognised."""
        raise CandidateError(
            "binding",
            "No binding is declared and none is recognised in the sources. Set binding = 'tvm-ffi' "
            "and export with TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, function), or binding = 'torch' "
            "and export with PYBIND11_MODULE(TORCH_EXTENSION_NAME, m)",
        )


def device_files(request: BuildRequest) -> list[str]:
    """Paths of the sources that nvcc compiles."""
    return [s["path"] for s in request.sources if s["path"].endswith(DEVICE_FILES)]


def _binding(request: BuildRequest) -> str | None:
    if request.language not in ("cuda", "cpp"):
        return None
    if request.binding:
        return request.binding
    text = "\n".join(source["content"] for source in request.sources)
    if _TVM_MARKS.search(text):
        return "tvm-ffi"
    return "torch" if _TORCH_MARKS.search(text) else None


def is_tvm_ffi(request: BuildRequest) -> bool:
    """Whether its functions are exported through tvm-ffi."""
    return _binding(request) == "tvm-ffi"


def _config(request: BuildRequest, folders: Folders) -> CompileConfig:
    if is_tvm_ffi(request):
        config = tvm_config(binding_module("tvm_ffi", TVM_FFI_REMEDY))
    else:
        config = torch_config(request, folders)
    return own_flags(request).added_to(with_packages(config, request.dependencies))


def stub_config(request: BuildRequest, folders: Folders) -> CompileConfig | None:
    """Flags for host code that is called without a device; None where the shim does not serve.

    Tensors of the shim say that they lie on a device.
    """
    if is_tvm_ffi(request):
        return _config(request, folders)
    if _binding(request) != "torch":
        return None
    config = _config(request, folders)
    if not config.own_types:
        return None
    return replace(config, support_define=(*config.support_define, eligibility.FAKE_DEVICE))


def compile_device_code(
    request: BuildRequest,
    source_dir: Path,
    folders: Folders,
    tools: Toolchain,
    cubins: Sequence[tuple[str, str, Path]],
) -> list[toolchain.Ran]:
    """Compiles CUDA sources to cubins, without linking or loading them.

    Args:
        request: names the sources' binding, and with it the headers they may include.
        source_dir: where the sources lie.
        folders: where a light header may be laid.
        tools: compilers.
        cubins: for each cubin its source, its architecture as '90a', and its file.

    Returns:
        What each compilation printed, with the assembler's resource report. The text that was
        assembled is kept in `steps_of` each file; cubins name source lines, which changes no code.
    """
    first = _config(request, folders)
    configs = [config_for(request, source, first) for source, _, _ in cubins]

    def command(index: int) -> list[str]:
        source, arch, file = cubins[index]
        made = compile_command((source, file), arch, source_dir, configs[index], tools)
        steps_of(file).mkdir(parents=True, exist_ok=True)
        kept = ["-lineinfo", "--keep", f"--keep-dir={steps_of(file)}"]
        return ["-cubin" if word == "-c" else word for word in made] + kept

    results = toolchain.run([command(index) for index in range(len(cubins))])
    again = list(range(len(cubins)))
    while again := [index for index in again if failed_for_headers(results[index], configs[index])]:
        for index in again:
            configs[index] = configs[index].retry or configs[index]
        for index, ran in zip(again, toolchain.run([command(i) for i in again]), strict=True):
            results[index] = ran
    return results


def require_host_code(
    request: BuildRequest, source_dir: Path, folders: Folders, tools: Toolchain
) -> None:
    """Reads C++ sources as the compiler does, with all of torch's headers where it must.

    Raises:
        CandidateError: of kind 'compile_error' when one does not compile, of another when this
            machine cannot say.
    """
    names = [s["path"] for s in request.sources if s["path"].endswith(HOST_FILES)]
    for name in names:
        config = _config(request, folders)
        ran = _read_by_compiler(name, source_dir, config, tools)
        while failed_for_headers(ran, config) and config.retry is not None:
            config = config.retry
            ran = _read_by_compiler(name, source_dir, config, tools)
        toolchain.refuse_late([ran])
        if not ran.ok:
            refuse_missing_library(ran.output, (s["path"] for s in request.sources))
            excerpt = compiler_excerpt(ran.output, source_dir)
            raise CandidateError("compile_error", f"{name} did not compile", excerpt=excerpt)


def _read_by_compiler(
    source: str, source_dir: Path, config: CompileConfig, tools: Toolchain
) -> toolchain.Ran:
    command = compile_command((source, Path(os.devnull)), "", source_dir, config, tools)
    return toolchain.run([["-fsyntax-only" if word == "-c" else word for word in command]])[0]


def steps_of(cubin: Path) -> Path:
    """The folder where compiling leaves what it made on the way to a cubin."""
    return cubin.with_suffix(".steps")


def build_library(
    request: BuildRequest, source_dir: Path, folders: Folders
) -> tuple[Path, bool, str]:
    """Finds or makes the library of sources whose binding is known; see `make_library`."""
    return make_library(request, source_dir, folders, _config(request, folders))


def make_library(
    request: BuildRequest, source_dir: Path, folders: Folders, config: CompileConfig
) -> tuple[Path, bool, str]:
    """Finds the library in the cache or makes it.

    Returns:
        Its path, whether it was there already, and what the compilers printed.
    """
    tools = toolchain.find_toolchain(os.environ)  # noqa: TID251 - the candidate's own environment
    arch = request.cuda_arch or ""
    key = "native-" + toolchain.digest(
        BUILD_VERSION, request.content_hash, arch, tools.versions, *config.versions
    )
    name = f"{request.package}.so"
    kept = folders.fetch(key)
    if kept is not None and (kept / name).is_file():
        return kept / name, True, ""
    product = folders.builds / key
    product.mkdir(parents=True, exist_ok=True)
    log = _linked(request, source_dir, product / name, folders, config, tools)
    folders.publish(key)
    return product / name, False, log


def _linked(
    request: BuildRequest,
    source_dir: Path,
    library: Path,
    folders: Folders,
    config: CompileConfig,
    tools: Toolchain,
) -> str:
    """Links the library; returns what the compilers printed."""
    objects = compile_objects(request, source_dir, folders, config, tools)
    files = [made.file for made in objects]
    ran = toolchain.run([_link_command(files, library, config, tools)])[0]
    if not ran.ok:
        excerpt = compiler_excerpt(ran.output, source_dir)
        raise CandidateError("compile_error", "The objects did not link", excerpt=excerpt)
    said = [made.ran.output for made in objects if made.ran is not None]
    return "\n".join(output for output in said if output.strip())


def _link_command(
    objects: Sequence[Path], library: Path, config: CompileConfig, tools: Toolchain
) -> list[str]:
    command = [tools.require_cxx(), "-shared", "-o", str(library), *map(str, objects)]
    command += ["-Wl,--as-needed", *config.libraries]
    if tools.cuda_home:
        folders = [Path(tools.cuda_home, "lib64"), Path(tools.cuda_home, "lib")]
        folders = [folder for folder in folders if folder.is_dir()]
        command += [f"-L{folder}" for folder in folders]
        command += [f"-L{folder / 'stubs'}" for folder in folders]
        command += [f"-Wl,-rpath,{folder}" for folder in folders]
        present = [n for n in _CUDA_LIBRARIES if any(_has(folder, n) for folder in folders)]
        command += [f"-l{name}" for name in present]
    return command


_CUDA_LIBRARIES = ("cudart", "cublas", "cublasLt", "cuda", "nvrtc")


def _has(folder: Path, name: str) -> bool:
    return (folder / f"lib{name}.so").exists() or (folder / "stubs" / f"lib{name}.so").exists()


def _loaded(load: Any) -> Any:
    try:
        return load()
    except (ImportError, OSError, RuntimeError) as error:
        raise CandidateError(
            "load_error", f"The built library cannot be loaded: {error}"
        ) from error
