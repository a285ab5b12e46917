"""Headers that a compiler did not find: those of libraries are the machine's lack."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from ..faults import CandidateError

_NOT_FOUND = re.compile(
    r"^(?P<by>[^\s:()]+)[:(][^\n]*fatal error: (?P<name>[^\s:]+): No such file"
    r"|^(?P<by2>[^\s:()]+)\([^\n]*cannot open source file \"(?P<name2>[^\"]+)\"",
    re.MULTILINE,
)
_LIBRARIES: tuple[tuple[str, str], ...] = (
    (r"cublas", "cuBLAS (apt install libcublas-dev-13-0)"),
    (r"cusparse", "cuSPARSE (apt install libcusparse-dev-13-0)"),
    (r"cusolver", "cuSOLVER (apt install libcusolver-dev-13-0)"),
    (r"curand", "cuRAND (apt install libcurand-dev-13-0)"),
    (r"cufft", "cuFFT (apt install libcufft-dev-13-0)"),
    (r"nvrtc", "NVRTC (apt install cuda-nvrtc-dev-13-0)"),
    (r"cudnn", "cuDNN (apt install libcudnn9-dev-cuda-13)"),
    (r"nccl", "NCCL (apt install libnccl-dev)"),
    (r"nvshmem", "NVSHMEM"),
    (r"nvToolsExt|nvtx3/", "NVTX (apt install cuda-nvtx-13-0)"),
    (r"cuda_profiler_api", "CUDA's profiler API (apt install cuda-profiler-api-13-0)"),
    (r"cub/|thrust/|cuda/", "CCCL (apt install cuda-cccl-13-0)"),
    (
        r"cutlass/|cute/",
        "CUTLASS (pip install nvidia-cutlass), and name it: dependencies = ['nvidia-cutlass']",
    ),
    (r"(?:.*/)?kittens\.cuh", "ThunderKittens"),
    (r"hip/", "HIP, AMD's toolkit"),
    (r"tvm/|dlpack/", "tvm-ffi (pip install apache-tvm-ffi)"),
    (r"cuda|device_types|driver_types|mma\.h|cooperative_groups", "the CUDA toolkit"),
)
"""Beginnings of header names, and the library that brings them."""


def refuse_missing_library(output: str, sources: Iterable[str]) -> None:
    """Raises that the machine lacks a library, where a compiler missed one of its headers.

    Args:
        output: what the compiler printed.
        sources: paths of the candidate's own files; a header among them is its own affair.

    Raises:
        CandidateError: of kind 'toolchain', naming what to install.
    """
    own = {PurePosixPath(path).name for path in sources}
    for found in _NOT_FOUND.finditer(output):
        name, by = found["name"] or found["name2"], found["by"] or found["by2"]
        if PurePosixPath(name).name in own:
            continue
        library = next((words for start, words in _LIBRARIES if re.match(start, name)), None)
        if library is None and PurePosixPath(by).name in own:
            continue
        by_whom = "" if PurePosixPath(by).name in own else f", which {PurePosixPath(by).name} wants"
        raise CandidateError(
            "toolchain",
            f"the header {name}{by_whom} is not installed; install "
            + (library or "the library that brings it"),
        )
