"""Attributes device activities to libraries by kernel name: a heuristic, marked so in every output.

A name found among the device functions of the candidate's own sources is the candidate's; a name
that a known library uses is that library's; everything else stays 'unknown'. A candidate that names
its kernel like a library's only blames the library.
"""

from __future__ import annotations

import re
from collections.abc import Collection

LIBRARIES = (
    (
        "torch",
        re.compile(
            r"\bat::|\bc10::|NK?2at\d|NK?3c10\d|at_cuda_detail|^triton_(poi|red|per|tem|mm)_"
        ),
    ),
    ("cublas", re.compile(r"cublas|nvjet|^sm\d+_xmma|cutlass_\d+_|gemv2|splitKreduce", re.I)),
    ("cudnn", re.compile(r"cudnn", re.I)),
    ("cub", re.compile(r"\bcub::|\bthrust::|_ZNK?3cub|_ZNK?6thrust")),
    ("nccl", re.compile(r"^nccl", re.I)),
    ("flashinfer", re.compile(r"flashinfer", re.I)),
    ("fla", re.compile(r"^(chunk|fused_recurrent|prepare|recompute|solve|merge)_\w+_(kernel|fwd)")),
    ("cutlass", re.compile(r"\bcutlass::|\bcute::|_ZNK?7cutlass|_ZNK?4cute")),
)
_PLAIN = re.compile(r"(?:^|[\s:*&])([A-Za-z_]\w*)\s*(?:<.*)?(?:\(.*)?$", re.DOTALL)


def plain_name(kernel: str) -> str:
    """The function's own name: 'ns::f<int>(float*)' gives 'f'."""
    head = kernel.split("<", 1)[0].split("(", 1)[0]
    found = _PLAIN.search(head)
    return found.group(1) if found else head


def origin_of(kernel: str, own: Collection[str]) -> str:
    """'candidate', a library's name, or 'unknown'.

    Args:
        kernel: the kernel's name as the profiler gives it, mangled or not.
        own: names of the device functions in the candidate's sources.
    """
    if plain_name(kernel) in own or kernel in own:
        return "candidate"
    for library, pattern in LIBRARIES:
        if pattern.search(kernel):
            return library
    mangled = kernel.startswith("_Z") and any(f"{len(n)}{n}" in kernel for n in own)
    return "candidate" if mangled else "unknown"
