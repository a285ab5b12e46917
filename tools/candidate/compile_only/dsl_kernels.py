"""Collects what Python's kernel languages beside Triton compile, where nothing is launched.

CuTe's (`nvidia-cutlass-dsl`) and TileLang (`tilelang`) are told the target, and to keep what they
compile in a folder, by their own documented settings; so whatever a call compiles is found as a
file. A compiled function does nothing when it is called, and the call goes on to its next kernel;
one that is compiled without `cute.compile` ends the call when it looks for a driver.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...messages.candidate import CompiledKernel
from . import cubin
from .dumps import dump

_CUTE, _TILELANG = "CUTE_DSL_DUMP_DIR", "TILELANG_CACHE_DIR"
_LANGUAGES = {_CUTE: "CuTe", _TILELANG: "TileLang"}
"""By the variable that names the folder where it keeps what it compiles."""
_PREFIX = "kernel_cutlass_"
_MOST_KERNELS = 96


@dataclass(frozen=True)
class DslKernel:
    """One kernel that was compiled, in which language, and its cubin."""

    kernel: CompiledKernel
    language: str
    symbol: str
    file: Path


def environment(architecture: str, private: Path) -> dict[str, str]:
    """The variables by which the languages compile for a target, and keep what they made.

    Args:
        architecture: as '90a'.
        private: a folder of this process's own.
    """
    for language in _LANGUAGES.values():
        (private / language).mkdir(exist_ok=True)
    name = f"sm_{architecture}"
    return {
        "CUTE_DSL_ARCH": name,
        "CUTE_DSL_KEEP": "cubin,ptx",
        "CUTE_DSL_KEEP_CUBIN": "1",
        "CUTE_DSL_KEEP_PTX": "1",
        "CUTE_DSL_LINEINFO": "1",
        "TILELANG_DEFAULT_TARGET": json.dumps({"kind": "cuda", "arch": name}),
        "TILELANG_PRINT_ON_COMPILATION": "0",
    } | {variable: str(private / language) for variable, language in _LANGUAGES.items()}


class DslKernels:
    """The kernels of one process, each read once."""

    def __init__(self) -> None:
        self._known: set[Path] = set()

    def prepare(self) -> None:
        """Has compiled functions do nothing when they are called, once a language is loaded."""
        cute: Any = sys.modules.get("cutlass.cute")
        if cute is not None and not isinstance(cute.compile, _Compile):
            cute.compile = _Compile(cute.compile)
        tilelang: Any = sys.modules.get("tilelang")
        if tilelang is not None:
            tilelang.JITKernel.__call__ = _nothing

    def collected(self, target: str) -> list[DslKernel]:
        """The kernels compiled since the last time."""
        found: list[DslKernel] = []
        for variable, language in _LANGUAGES.items():
            folder = os.environ.get(variable, "")  # noqa: TID251 - set by `environment`
            files = sorted(Path(folder).rglob("*.cubin")) if folder else []
            new = [file for file in files if file not in self._known][:_MOST_KERNELS]
            self._known |= set(new)
            for file, (usage, sass) in zip(new, dump(new), strict=True):
                opcodes = cubin.read_opcodes(sass)
                found += [
                    DslKernel(
                        _figures(symbol, target, resources, opcodes.get(symbol, {})),
                        language,
                        symbol,
                        file,
                    )
                    for symbol, resources in cubin.read_resources(usage).items()
                ]
        return found


class _Compile:
    """Stands for `cute.compile`, which may be indexed by options first."""

    def __init__(self, compile_it: Any) -> None:
        self._compile = compile_it

    def __getitem__(self, options: Any) -> _Compile:
        return _Compile(self._compile[options])

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._compile(*arguments, **options)
        return _nothing


def _nothing(*arguments: Any, **options: Any) -> None:
    """Stands for a compiled function that is called."""


def _figures(
    symbol: str, target: str, resources: cubin.Resources, opcodes: Mapping[str, int]
) -> CompiledKernel:
    return CompiledKernel(
        name=_plain(symbol)[:500],
        target=target,
        registers=resources.registers,
        shared_bytes=resources.shared_bytes,
        stack_bytes=resources.stack_bytes,
        spill_bytes=cubin.spilled_bytes(resources, dict(opcodes)),
        opcodes=dict(opcodes),
    )


def _plain(symbol: str) -> str:
    """The kernel's own name, of a symbol that in CuTe also has the types of its arguments."""
    name = symbol.removeprefix(_PREFIX)
    return name.partition("_tensor")[0] if name != symbol else name
