"""Finds the compilers of this machine and their versions, and runs several at once.

It knows commands and files; it does not know candidates. A compiler is run on hostile text like
any other file, inside the candidate's sandbox.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..faults import CandidateError

_USUAL_NVCC = ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")
_TOP = re.compile(r"^#\$ TOP=(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Toolchain:
    """Paths and versions of the compilers; an empty path means that there is none."""

    nvcc: str
    cuda_home: str
    cxx: str
    versions: str
    """What the compilers say of themselves; part of every build's key."""

    def require_cxx(self) -> str:
        """The C++ compiler.

        Raises:
            CandidateError: of kind 'toolchain', saying what to install.
        """
        if not self.cxx:
            raise CandidateError("toolchain", "No C++ compiler was found; install g++ (or set CXX)")
        return self.cxx

    def require_nvcc(self) -> str:
        """The CUDA compiler.

        Raises:
            CandidateError: of kind 'toolchain', saying what to install.
        """
        self.require_cxx()
        if not self.nvcc:
            raise CandidateError(
                "toolchain",
                "nvcc was not found; install the CUDA toolkit (apt install cuda-nvcc-13-0 "
                "cuda-cudart-dev-13-0 libcublas-dev-13-0) or set CUDA_HOME",
            )
        return self.nvcc


@dataclass(frozen=True)
class Ran:
    """One finished command."""

    ok: bool
    output: str


def find_toolchain(environment: Mapping[str, str]) -> Toolchain:
    """Looks for nvcc and a C++ compiler as the environment directs.

    Args:
        environment: CUDA_HOME, CUDA_PATH, CXX and PATH are read from it.
    """
    names = ("CUDA_HOME", "CUDA_PATH", "CXX", "PATH")
    return _found(tuple(environment.get(name, "") for name in names))


@functools.cache
def _found(where: tuple[str, str, str, str]) -> Toolchain:
    cuda_home, cuda_path, cxx_name, path = where
    places = [f"{home}/bin/nvcc" for home in (cuda_home, cuda_path) if home]
    nvcc = next((p for p in places if os.access(p, os.X_OK)), None)
    nvcc = nvcc or shutil.which("nvcc", path=path)
    nvcc = nvcc or next((p for p in _USUAL_NVCC if os.access(p, os.X_OK)), "")
    cxx = shutil.which(cxx_name or "g++", path=path) or shutil.which("c++", path=path) or ""
    said = [run([[tool, "--version"]])[0].output for tool in (nvcc, cxx) if tool]
    return Toolchain(nvcc, _cuda_home(nvcc), cxx, "\n".join(said))


def _cuda_home(nvcc: str) -> str:
    """The toolkit's folder as nvcc itself reports it, for it may be a script."""
    if not nvcc:
        return ""
    answer = run([[nvcc, "--dryrun", "-c", "-x", "cu", os.devnull, "-o", os.devnull]])[0].output
    top = _TOP.search(answer)
    if top:
        return str(Path(top.group(1).strip()).resolve())
    return str(Path(nvcc).resolve().parent.parent)


def run(commands: Sequence[Sequence[str]], cwd: Path | None = None) -> list[Ran]:
    """Runs commands in parallel in `cwd`; what each printed and whether it succeeded, in order."""
    running: list[tuple[subprocess.Popen[bytes], tempfile._TemporaryFileWrapper[bytes]]] = []
    for command in commands:
        log = tempfile.NamedTemporaryFile(dir=cwd)
        process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        running.append((process, log))
    results: list[Ran] = []
    for process, log in running:
        code = process.wait()
        log.seek(0)
        output = log.read(4 << 20).decode(errors="replace")
        log.close()
        if code < 0:
            output += f"\nerror: the compiler was ended by signal {-code}"
        results.append(Ran(code == 0, output))
    return results


def digest(*parts: str) -> str:
    """A sha256 over the parts and their lengths, so that no two lists collide."""
    state = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        state.update(len(encoded).to_bytes(8, "big"))
        state.update(encoded)
    return state.hexdigest()[:40]
