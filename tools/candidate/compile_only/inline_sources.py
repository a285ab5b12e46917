"""Collects CUDA sources that Python hands to a compiler when it runs (NVRTC, `load_inline`).

Where candidates are only compiled there is neither a device nor, often, NVRTC. What would be
compiled is remembered, to be compiled by nvcc for each target, and what would be called does
nothing. Only torch's own ways are known; what needs another package is told as missing.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...messages.candidate import BuildRequest

MOST_SOURCES = 32
MOST_BYTES = 8 << 20
_DEFINED = re.compile(r"-D(\w+)(?:=(.*))?")
_OF_TORCH = "#include <torch/extension.h>\n#include <cuda.h>\n#include <cuda_runtime.h>\n"
"""What torch puts before inline CUDA, or serves as well."""


@dataclass(frozen=True)
class InlineSource:
    """One text that a CUDA compiler would get, and whether it may include torch's headers."""

    text: str
    binds_torch: bool


_collected: list[InlineSource] = []


def collected() -> Sequence[InlineSource]:
    """What was collected, in order."""
    return _collected


def request_for(build: BuildRequest, number: int) -> BuildRequest:
    """The request that compiles a collected source, as a file of its own."""
    source = _collected[number]
    file = {"path": f"inline_{number}.cu", "content": source.text}
    binding = "torch" if source.binds_torch else None
    return build.model_copy(update={"language": "cuda", "binding": binding, "sources": [file]})


def collect_inline_sources() -> None:
    """Has torch's ways of compiling CUDA remember what they are given, for good."""
    torch.cuda._compile_kernel = _compile_kernel
    with contextlib.suppress(ImportError):
        extension: Any = importlib.import_module("torch.utils.cpp_extension")
        extension.load_inline = _load_inline(extension.load_inline)
        extension.load = _load(extension.load)


class _Uncalled:
    """Stands for a compiled kernel or module: every function of it does nothing."""

    def __call__(self, *arguments: Any, **options: Any) -> None:
        """Does nothing, whatever it is called with."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Uncalled()


def _compile_kernel(kernel_source: str, *arguments: Any, **options: Any) -> _Uncalled:
    _collect([kernel_source], binds_torch=False, flags=options.get("nvcc_options"))
    return _Uncalled()


def _load_inline(load: Callable[..., Any]) -> Callable[..., Any]:
    def loaded(name: str, cpp_sources: Any, cuda_sources: Any = None, *rest: Any, **options: Any):
        texts = [cuda_sources] if isinstance(cuda_sources, str) else list(cuda_sources or ())
        if not texts:
            return load(name, cpp_sources, cuda_sources, *rest, **options)
        _collect([_OF_TORCH, *texts], binds_torch=True, flags=options.get("extra_cuda_cflags"))
        return _Uncalled()

    return loaded


def _load(load: Callable[..., Any]) -> Callable[..., Any]:
    def loaded(name: str, sources: Any, *rest: Any, **options: Any) -> Any:
        files = [Path(f) for f in ([sources] if isinstance(sources, str) else sources)]
        device = [file for file in files if file.suffix == ".cu"]
        if not device:
            return load(name, sources, *rest, **options)
        for file in device:
            text = file.read_text(encoding="utf-8", errors="replace")
            _collect([text], binds_torch=True, flags=options.get("extra_cuda_cflags"))
        return _Uncalled()

    return loaded


def _collect(texts: Sequence[str], *, binds_torch: bool, flags: Sequence[str] | None) -> None:
    """Remembers a source, with the names that flags define."""
    found = [match for flag in flags or () if (match := _DEFINED.fullmatch(str(flag)))]
    defined = [f"#define {match[1]} {match[2] or 1}" for match in found]
    text = "\n".join([*defined, *texts])
    kept = sum(len(source.text) for source in _collected)
    if len(_collected) < MOST_SOURCES and kept + len(text) <= MOST_BYTES:
        _collected.append(InlineSource(text, binds_torch))
