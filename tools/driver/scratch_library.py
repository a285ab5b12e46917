"""The compiled allocator that gives torch its device memory from one reservation of addresses.

Torch takes the functions of an allocator from a shared library alone, so a small one (`scratch.c`)
is compiled with the host's compiler and kept by the digest of its source.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from ..errors import CapabilityError

SOURCE = Path(__file__).with_name("scratch.c")
COMPILERS = ("cc", "gcc", "clang", "c++", "g++")


def build_library(folder: Path) -> Path:
    """Compiles the allocator into `folder`, or finds it compiled there.

    Raises:
        CapabilityError: without a compiler, or when it fails.
    """
    source = SOURCE.read_bytes()
    target = folder / f"scratch_{hashlib.sha256(source).hexdigest()[:16]}.so"
    if target.exists():
        return target
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise CapabilityError(
            "No C compiler is on the path", remedy="Install gcc; times stay claimed without it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    made = target.with_suffix(f".{os.getpid()}")
    command = [compiler, "-x", "c", "-O2", "-shared", "-fPIC", "-o", str(made), str(SOURCE)]
    ended = subprocess.run(
        [*command, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise CapabilityError(
            f"The scratch allocator does not compile: {ended.stderr[-500:]}",
            remedy="Repair the C compiler; times stay claimed without it.",
        )
    made.replace(target)
    return target
