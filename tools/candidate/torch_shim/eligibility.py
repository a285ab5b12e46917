"""Which sources the torch shim serves, and where its files are written.

The sources are read as text, so this can be wrong in both directions: a name in a comment costs the
shim, and a name that the shim lacks costs one short compile that fails, after which the
source is compiled as it would have been without it.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...messages.candidate import BuildRequest
from .headers import CUDA_HEADERS, FILES, OWN_FILES, SUPPORT

WITH_CUDA = "KERNEL_HARNESS_TORCH_CUDA"
"""Defined for the support where torch's own library for CUDA is there."""
FAKE_DEVICE = "KERNEL_HARNESS_FAKE_DEVICE"
"""Defined for the support where tensors in host memory are to say that they lie on a device."""
TEXTS = (*FILES.values(), SUPPORT)
"""Everything that a build with the shim depends on."""
SUPPORT_TEXTS = (*OWN_FILES.values(), SUPPORT)

_INCLUDED = re.compile(
    r'#\s*include\s*[<"]([^">\n]*\b(?:torch|ATen|c10|caffe2|pybind11)/[^">\n]+)[">]'
)
_INCLUDED_BY_MACRO = re.compile(r"^\s*#\s*include\s+[A-Za-z_]", re.MULTILINE)
_BINDS = re.compile(r"^(?!torch/extension\.h$).*(?:\btorch|\bpybind11)/")
"""Headers that may bring pybind11 themselves."""
_REOPENED = re.compile(r"(?<!using )\bnamespace\s+(?:torch|at|c10)\b")
"""A type of torch that a source declares for itself is not the shim's."""
_NAME = re.compile(r"\b(?:torch|at|c10)::(\w+)(?:::(\w+))?")
_PYTHON_NAME = re.compile(r"\b(?:py|pybind11)::(\w+)")
_MACRO = re.compile(r"\b(?:TORCH|AT|C10|PYBIND11|CAFFE2|THP)_\w+")
_GIVEN_A_VALUE = re.compile(r"\b((?:TORCH|AT|C10|CAFFE2|THP)_\w+)\s*=(?!=)")
"""A constant of the source that is called as a macro of torch's might be."""
_NAMES = frozenset(
    "Tensor TensorOptions ScalarType Device DeviceType DeviceIndex IntArrayRef ArrayRef Scalar "
    "Half BFloat16 Float8_e4m3fn Float8_e5m2 toString dtype device cuda "
    "empty zeros ones full empty_like zeros_like "
    "kByte kChar kShort kInt kLong kHalf kFloat kDouble kBool kBFloat16 kUInt8 kInt8 kInt16 "
    "kInt32 kInt64 kFloat16 kFloat32 kFloat64 kFloat8_e4m3fn kFloat8_e5m2 kCPU kCUDA".split()
)
_CUDA_NAMES = frozenset({"getCurrentCUDAStream", "CUDAStream", "CUDAGuard"})
_MACROS = frozenset(
    "TORCH_CHECK TORCH_EXTENSION_NAME PYBIND11_MODULE C10_CUDA_CHECK "
    "C10_CUDA_KERNEL_LAUNCH_CHECK".split()
)
_OURS = re.compile(r"kernel_harness_|\bKH_")
"""What the shim calls its own; a source that says it is none of the shim's."""


def serves_binding(request: BuildRequest) -> bool:
    """Whether the sources name no more of pybind11 than the shim has."""
    text = _text(request)
    if _OURS.search(text) or _INCLUDED_BY_MACRO.search(text):
        return False
    if any(_BINDS.search(name) for name in _INCLUDED.findall(text)):
        return False
    macros = {name for name in _MACRO.findall(text) if name.startswith("PYBIND11_")}
    return set(_PYTHON_NAME.findall(text)) <= {"arg"} and macros <= _MACROS


def serves(request: BuildRequest) -> bool:
    """Whether the sources also name nothing of torch that the shim lacks."""
    text = _text(request)
    if _REOPENED.search(text) or not serves_binding(request):
        return False
    if not set(_INCLUDED.findall(text)) <= {"torch/extension.h", *CUDA_HEADERS}:
        return False
    for name, inner in _NAME.findall(text):
        if name not in _NAMES or (name == "cuda" and inner not in _CUDA_NAMES):
            return False
    return set(_MACRO.findall(text)) - set(_GIVEN_A_VALUE.findall(text)) <= _MACROS


def _text(request: BuildRequest) -> str:
    return "\n".join(source["content"] for source in request.sources)


def names_torch(text: str) -> bool:
    """Whether a source includes a header that the shim may stand for."""
    return _INCLUDED.search(text) is not None


def write_files(builds: Path) -> tuple[Path, Path]:
    """Writes the headers and their support under a private folder.

    Returns:
        The headers' folder, for the include path, and the support's source, which lies outside it.
    """
    headers, beside = builds / "shim", builds / "shim_support"
    files = {headers / name: text for name, text in FILES.items()}
    files |= {beside / name: text for name, text in OWN_FILES.items()}
    support = beside / "support.cpp"
    for file, text in (files | {support: SUPPORT}).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return headers, support
