"""A `torch/extension.h` that declares what most bindings use, and includes none of torch.

A CUDA file is read three times, by two compilers, and each time every header with it; torch's make
that 12 s of 14. Here a tensor is one opaque word, its functions are declared and no more, and what
they do lies in `support.cpp`, compiled once against torch itself and kept. What is not declared
does not compile, and the source is then compiled with torch's own headers.

The texts are read when this module is imported: a candidate's process cannot read them any more.
"""

from __future__ import annotations

from pathlib import Path


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


CUDA_HEADERS = (
    "c10/cuda/CUDAStream.h",
    "c10/cuda/CUDAGuard.h",
    "c10/cuda/CUDAException.h",
    "ATen/cuda/CUDAContext.h",
)
OWN_FILES = {
    name: _text(name)
    for name in ("kernel_harness_types.h", "kernel_harness_python.h", "kernel_harness_binding.h")
}
"""What can be included beside torch's own headers."""
FILES = {
    **OWN_FILES,
    "torch/extension.h": _text("extension.h"),
    **dict.fromkeys(CUDA_HEADERS, _text("cuda.h")),
}
"""Every header by its path below the folder that stands for torch's."""
SUPPORT = _text("support.cpp")
LIGHT_EXTENSION_HEADER = _text("light_extension.h")
"""A `torch/extension.h` for sources that name no more of torch than it declares."""
