"""Loads a candidate's extension modules, which get tensors of a device where there is none.

Compiled code sees where a tensor's memory is, whatever Python is told. So tensors are lent to it
that say to C++, too, that they lie on a device, and torch does on the host what it is asked to do
to them: host code in C++ goes the way that it goes on a device. What it gives back is of the host
again. Functions of modules get them, methods of classes do not; and what reads memory by its
address reads the host's.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

import torch

from ...messages.candidate import BuildRequest
from ..cpu import kernel_libraries
from ..cpu.device_signs import unnoted
from ..cpu.fake_memory import Memory, lay, memory_of, without_devices
from ..faults import CandidateError
from . import toolchain
from .compile_flags import EXTENSION, torch_flags
from .sources import Folders

SOURCE = Path(__file__).with_name("lent_tensors.cpp").read_text(encoding="utf-8")
MODULE = "kernel_harness_lent"
_BINDS_TORCH = re.compile(r"cpp_extension|PYBIND11_MODULE|TORCH_LIBRARY|\btorch/")


def load_extension(library: Path, name: str = EXTENSION) -> ModuleType:
    """Imports an extension module from its file."""
    loader = ExtensionFileLoader(name, str(library))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def lend_tensors(request: BuildRequest, folders: Folders) -> None:
    """Has functions of extension modules get tensors of a device from now on, for good.

    Does nothing with a GPU, for sources that bind nothing to torch, and where no compiler is. What
    is compiled is the same for every candidate, and kept.
    """
    texts = (source["content"] for source in request.sources)
    if not folders.faked or not any(map(_BINDS_TORCH.search, texts)):
        return
    try:
        library = _made(folders)
    except CandidateError:  # no compiler, or no headers of Python: nothing can be bound, either
        return
    if library is not None:
        with unnoted(), _shown_to_all():
            lender = load_extension(library, MODULE)
        _lend_to_modules(lender)


def _made(folders: Folders) -> Path | None:
    """The library that lends tensors, compiled if need be; None where this torch refuses it."""
    tools = toolchain.find_toolchain(os.environ)  # noqa: TID251 - the candidate's own environment
    flags = torch_flags(folders)
    key = "native-" + toolchain.digest(SOURCE, tools.versions, *flags.versions)
    kept, name = folders.fetch(key), f"{MODULE}.so"
    if kept is not None and (kept / name).is_file():
        return kept / name
    folder = folders.builds / key
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "lent_tensors.cpp"
    source.write_text(SOURCE, encoding="utf-8")
    command = [tools.require_cxx(), f"-std={flags.standard}", "-w", "-fPIC", "-shared"]
    command += [f"-I{place}" for place in flags.include]
    command += [f"-D{word}" for word in flags.define if EXTENSION not in word]
    command += [f"-DTORCH_EXTENSION_NAME={MODULE}", str(source), "-o", str(folder / name)]
    if not toolchain.run([[*command, *flags.libraries]])[0].ok:
        return None
    folders.publish(key)
    return folder / name


@contextmanager
def _shown_to_all() -> Iterator[None]:
    """What is loaded within it is found before torch's own by what is loaded later."""
    before = sys.getdlopenflags()
    sys.setdlopenflags(before | os.RTLD_GLOBAL)
    try:
        yield
    finally:
        sys.setdlopenflags(before)


def _lend_to_modules(lender: Any) -> None:
    load = ExtensionFileLoader.exec_module

    def loaded(self: ExtensionFileLoader, module: ModuleType) -> None:
        load(self, module)
        if kernel_libraries.is_installed(self.path):
            return
        for name, value in list(vars(module).items()):
            if isinstance(value, BuiltinFunctionType):
                setattr(module, name, _lending(value, lender))

    ExtensionFileLoader.exec_module = loaded


def _lending(function: Callable[..., Any], lender: Any) -> Callable[..., Any]:
    @functools.wraps(function)
    def lent(*arguments: Any, **options: Any) -> Any:
        loans = _Loans(lender)
        with without_devices():
            arguments = tuple(map(loans.lent, arguments))
            options = {name: loans.lent(value) for name, value in options.items()}
        result = function(*arguments, **options)
        with without_devices():
            return loans.taken_back(result)

    return lent


class _Loans:
    """The tensors that one call is lent."""

    def __init__(self, lender: Any) -> None:
        self._lender = lender
        self._lent: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """By the identity of each that was lent: itself, and what it stands for."""

    def lent(self, value: Any) -> Any:
        """The value, with tensors of a device in the place of those that are said to lie on one."""
        if type(value) in (list, tuple):
            return type(value)(map(self.lent, value))
        if not isinstance(value, torch.Tensor) or memory_of(value) is Memory.HOST:
            return value
        if value.device.type != "cpu" or value.layout is not torch.strided:
            return value
        tensor = self._lender.lend(value)
        self._lent[id(tensor)] = tensor, value
        return tensor

    def taken_back(self, value: Any) -> Any:
        """What was returned, with tensors of the host again; they are known to lie on a device."""
        if type(value) in (list, tuple):
            return type(value)(map(self.taken_back, value))
        if type(value) is dict:
            return {name: self.taken_back(part) for name, part in value.items()}
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in self._lent:
            return self._lent[id(value)][1]
        if not value.is_cuda:
            if value.device.type == "cpu":
                lay([value], Memory.HOST)
            return value
        host = self._lender.host_of(value)
        lay([host])
        return host
