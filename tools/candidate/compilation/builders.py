"""Builds a solution into a callable: one small class for each language.

Compiled products are found in the shared cache by a key that covers all that changes behaviour,
and are handed to the process's supervisor for publishing before any candidate code has run.

What this cannot promise: a build compiles, it does not run; whether the kernel works is for calls.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from ...messages.candidate import BuildRequest, Built
from ...messages.frames import EXCERPT_CHARACTERS
from ..faults import CandidateError, cut, fault_of
from .extensions import lend_tensors
from .native import CompiledOnlyBuilder, TorchBuilder, TvmFfiBuilder, UnboundBuilder
from .sources import (
    Builder,
    Folders,
    Product,
    entry_function,
    split_entry_point,
    write_sources,
)

_now = time.monotonic
"""Bound before candidate code can put another clock in its place."""
KERNEL_NAME = re.compile(r"(?:@(?:triton\.)?jit\b[^\n]*\n(?:\s*@[^\n]*\n)*\s*def\s+(\w+))")
_DEVICE_KERNEL_NAME = re.compile(
    r"__global__[^;{(]*?(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\("
)


class PythonBuilder:
    """Python, Triton and TileLang: the entry file is imported, its function taken."""

    def accepts(self, request: BuildRequest) -> bool:
        """Whether Python itself runs the language."""
        return request.language in ("python", "triton", "tilelang")

    def build(self, request: BuildRequest, source_dir: Path, folders: Folders) -> Product:
        """Imports the entry module as part of the package that the sources form."""
        entry_file, symbol = split_entry_point(request)
        if entry_file.suffix != ".py":
            raise CandidateError(
                "entry_point", f"{request.entry_point!r} must name a .py file, as 'kernel.py::run'"
            )
        _check_syntax(request)
        if str(folders.sources) not in sys.path:
            sys.path.insert(0, str(folders.sources))
        importlib.invalidate_caches()
        lend_tensors(request, folders)
        folders.before_code()
        try:
            module = _import_source(source_dir, entry_file)
        except ImportError as error:
            raise _import_fault(error, request, source_dir) from error
        return Product(entry_function(module, symbol, request))


def _import_source(source_dir: Path, file: PurePosixPath) -> ModuleType:
    """Imports a source of the package, also one with a dot in its name, as "kernel.v2.py" has."""
    *folders, stem = file.with_suffix("").parts
    package, place = source_dir.name, source_dir
    for folder in folders:
        package, place = f"{package}.{folder.replace('.', '_')}", place / folder
        if "." in folder:
            parent = ModuleType(package)
            parent.__path__ = [str(place)]
            sys.modules[package] = parent
    if "." not in stem:
        return importlib.import_module(f"{package}.{stem}")
    importlib.import_module(package)
    name = f"{package}.{stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, place / file.name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _check_syntax(request: BuildRequest) -> None:
    for source in request.sources:
        if source["path"].endswith(".py"):
            text = source["content"].removeprefix("\ufeff")
            compile(text, source["path"], "exec", dont_inherit=True)


def _import_fault(error: ImportError, request: BuildRequest, source_dir: Path) -> CandidateError:
    fault = fault_of(error, source_dir)
    if fault.kind != "exception":
        return CandidateError(fault.kind, fault.message, excerpt=fault.excerpt)
    advice = ""
    siblings = {PurePosixPath(s["path"]).parts[0].removesuffix(".py") for s in request.sources}
    if error.name and error.name.split(".")[0] in siblings:
        name = error.name.split(".")[0]
        advice = f". Sources form a package: write 'from .{name} import …'"
    elif error.name == "reference":
        advice = ". reference.py lies beside the sources to be read, and is none of them"
    return CandidateError("import_error", fault.message + advice, excerpt=fault.excerpt)


BUILDERS: tuple[Builder, ...] = (
    PythonBuilder(),
    CompiledOnlyBuilder(),
    TvmFfiBuilder(),
    TorchBuilder(),
    UnboundBuilder(),
)
"""Every builder; the first that accepts a request builds it."""


@dataclass(frozen=True)
class LoadedCandidate:
    """A built solution."""

    function: Callable[..., Any]
    request: BuildRequest
    source_dir: Path
    kernel_names: frozenset[str]
    """Names of device functions in its sources, to tell its kernels from a library's."""


def build(request: BuildRequest, folders: Folders) -> tuple[Built, LoadedCandidate | None]:
    """Builds a candidate; its failure is part of the answer."""
    begin = _now()
    source_dir = folders.sources / request.package
    try:
        source_dir = write_sources(request, folders)
        split_entry_point(request)
        builder = next((b for b in BUILDERS if b.accepts(request)), None)
        if builder is None:
            raise CandidateError("language", f"Nothing builds language {request.language!r}")
        product = builder.build(request, source_dir, folders)
    except BaseException as error:
        fault = fault_of(error, source_dir)
        return Built(fault=fault, seconds=_now() - begin), None
    candidate = LoadedCandidate(product.function, request, source_dir, _kernel_names(request))
    log = cut(product.log, EXCERPT_CHARACTERS)
    return Built(seconds=_now() - begin, cached=product.cached, log=log), candidate


def _kernel_names(request: BuildRequest) -> frozenset[str]:
    names: set[str] = set()
    for source in request.sources:
        names.update(KERNEL_NAME.findall(source["content"]))
        names.update(_DEVICE_KERNEL_NAME.findall(source["content"]))
    return frozenset(names)
