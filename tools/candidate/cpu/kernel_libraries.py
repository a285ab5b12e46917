"""Knows the libraries of CUDA kernels that a candidate's Python loads, as by ctypes.

Without a GPU such a library loads, its host code runs, and each launch fails, often without a word:
the candidate would be called wrong for what this machine lacks. What refers to the driver's library
does not load at all.
"""

from __future__ import annotations

import functools
import mmap
import os
import site
import sys
import sysconfig
from pathlib import Path
from typing import Any

MOST_LIBRARIES = 8
_SECTION = b".nv_fatbin"
"""Where nvcc puts a program's device code."""
_loaded: dict[str, None] = {}


def loaded() -> list[str]:
    """The names of those that were loaded, or tried to be."""
    return list(_loaded)


def watch(*, refuse: bool) -> None:
    """Notes each library of kernels that is loaded from now on, for good.

    Args:
        refuse: whether loading one fails, in the words that show that a GPU is missing.
    """

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        at = {"ctypes.dlopen": 0, "import": 1}.get(event)
        path = None if at is None else arguments[at]
        if not path or is_installed(path) or not holds_kernels(path):
            return
        name = os.path.basename(os.fsdecode(path))
        if len(_loaded) < MOST_LIBRARIES:
            _loaded[name[:200]] = None
        if refuse:
            raise OSError(f"{name} holds CUDA kernels: No CUDA GPUs are available")

    sys.addaudithook(audited)


def is_installed(path: Any) -> bool:
    """Whether a file belongs to Python or its packages, and so is no candidate's own."""
    return os.fsdecode(path).startswith(_places())


@functools.cache
def _places() -> tuple[str, ...]:
    places = {sys.prefix, sys.base_prefix, *site.getsitepackages(), *sysconfig.get_paths().values()}
    return tuple(os.path.join(place, "") for place in places)


def holds_kernels(path: Any) -> bool:
    """Whether a file is a library with device code; False where it cannot be read."""
    try:
        with Path(os.fsdecode(path)).open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return content[:4] == b"\x7fELF" and content.find(_SECTION) >= 0
    except (OSError, ValueError):
        return False
