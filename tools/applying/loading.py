"""A kernel of a checked folder as something callable.

Sources of Python and compiled libraries are loaded from a private copy of what was checked, which
is removed when the program ends. What a kernel's own code needs besides torch (Triton, tvm-ffi)
is imported by it.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import torch

from ..errors import CapabilityError, DatasetError
from ..schema.deployment.kernel_index import IndexedKernel
from .kernel_folder import KernelFolder

EXTENSION = "candidate_extension"
"""The name under which libraries with torch's binding are compiled."""


def load_kernel(folder: KernelFolder, kernel: IndexedKernel) -> Callable[..., Any]:
    """The kernel's entry point.

    Raises:
        CapabilityError: when this program lacks what the kernel was compiled against.
        DatasetError: when its entry point is not there.
    """
    file, _, symbol = kernel.entry_point.partition("::")
    if kernel.library is not None:
        module = _load_library(folder, kernel)
    else:
        module = _import_sources(folder, kernel, file)
    function = getattr(module, symbol, None)
    if not callable(function):
        raise DatasetError(
            f"{kernel.definition}'s kernel has no function {symbol!r}", where=str(folder.folder)
        )
    return function


@functools.cache
def _private() -> Path:
    """A folder that only this user may enter, removed when the program ends."""
    made = Path(tempfile.mkdtemp(prefix="kernel-harness-applied-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _load_library(folder: KernelFolder, kernel: IndexedKernel) -> Any:
    assert kernel.library is not None
    of_torch = kernel.binding != "tvm-ffi"
    if of_torch and folder.index.torch != torch.__version__:
        raise CapabilityError(
            f"{kernel.definition}'s kernel was compiled against torch {folder.index.torch}, and "
            f"this is {torch.__version__}",
            where=str(folder.folder),
            remedy="Deploy it again with this program's torch.",
        )
    path = Path(tempfile.mkdtemp(dir=_private()), PurePosixPath(kernel.library).name)
    path.write_bytes(folder.contents[kernel.library])
    if not of_torch:
        try:
            tvm_ffi = importlib.import_module("tvm_ffi")
        except ImportError as error:
            raise CapabilityError(
                f"{kernel.definition}'s kernel is bound by tvm-ffi, which is not installed",
                remedy="pip install apache-tvm-ffi",
            ) from error
        return tvm_ffi.load_module(str(path))
    loader = ExtensionFileLoader(EXTENSION, str(path))
    spec = importlib.util.spec_from_loader(EXTENSION, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _import_sources(folder: KernelFolder, kernel: IndexedKernel, file: str) -> ModuleType:
    """Imports the entry file as part of the package that the sources form."""
    place = Path(tempfile.mkdtemp(dir=_private()))
    name = f"kernel_harness_applied_{kernel.content_hash[:16]}_{place.name}"
    for path, content in folder.within(kernel.folder):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(content)
    package = ModuleType(name)
    package.__path__ = [str(place)]
    sys.modules[name] = package
    *parents, stem = PurePosixPath(file).with_suffix("").parts
    parent = ".".join([name, *parents])
    importlib.import_module(parent)
    entry = f"{parent}.{stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(entry, place / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[entry] = module
    spec.loader.exec_module(module)
    return module
