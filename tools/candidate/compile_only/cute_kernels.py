"""Collects what CuTe's Python language (`nvidia-cutlass-dsl`) compiles, where nothing is launched.

The library is told the target and to keep each cubin by its own documented settings, so whatever a
call compiles is found as a file. What `cute.compile` gives back is compiled and does nothing when
it is called: a call goes on to its next kernel. A function under `cute.jit` that is called without
`cute.compile` compiles too, and ends the call when it looks for a driver.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...messages.candidate import CompiledKernel
from . import cubin
from .dumps import dump

FOLDER = "cute"
_MODULE = "cutlass.cute"
_PREFIX = "kernel_cutlass_"
_MOST_KERNELS = 96


def environment(architecture: str, private: Path) -> dict[str, str]:
    """The variables by which the library compiles for a target, and keeps what it made.

    Args:
        architecture: as '90a'.
        private: a folder of this process's own.
    """
    folder = private / FOLDER
    folder.mkdir(exist_ok=True)
    return {
        "CUTE_DSL_ARCH": f"sm_{architecture}",
        "CUTE_DSL_KEEP": "cubin,ptx",
        "CUTE_DSL_KEEP_CUBIN": "1",
        "CUTE_DSL_KEEP_PTX": "1",
        "CUTE_DSL_LINEINFO": "1",
        "CUTE_DSL_DUMP_DIR": str(folder),
    }


class CuteKernels:
    """The kernels of one process, each read once."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def prepare(self) -> None:
        """Has compiled functions do nothing when they are called, once the library is loaded."""
        cute: Any = sys.modules.get(_MODULE)
        if cute is not None and not isinstance(cute.compile, _Compile):
            cute.compile = _Compile(cute.compile)

    def collected(self, target: str) -> list[tuple[CompiledKernel, str, Path]]:
        """The kernels compiled since the last time, with their symbols and files."""
        folder = Path(os.environ.get("CUTE_DSL_DUMP_DIR", "."))  # noqa: TID251 - set by this module
        files = [file for file in sorted(folder.rglob("*.cubin")) if file.name not in self._known]
        files = files[:_MOST_KERNELS]
        self._known |= {file.name for file in files}
        found: list[tuple[CompiledKernel, str, Path]] = []
        for file, (usage, sass) in zip(files, dump(files), strict=True):
            opcodes = cubin.read_opcodes(sass)
            for symbol, resources in cubin.read_resources(usage).items():
                kernel = _figures(symbol, target, resources, opcodes.get(symbol, {}))
                found.append((kernel, symbol, file))
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
    """The kernel's own name, of a symbol that also has the types of its arguments."""
    name = symbol.removeprefix(_PREFIX)
    return name.partition("_tensor")[0] or name
