"""Finds the compilers of this machine and their versions, and runs several at once.

It knows commands and files; it does not know candidates. A compiler is run on hostile text like
any other file, inside the candidate's sandbox, and within limits of its own: memory, time, sizes of
files and, where the kernel has Landlock, no device and no process's files to read. Text that
expands without end (macros, includes, templates) meets them, and is told as such.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ...confinement import landlock
from ...folders import remove_tree
from ..faults import CandidateError

_USUAL_NVCC = ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")
LEAST_AT_ONCE = 4
MEMORY_SHARE = 0.5
"""Of this machine's memory, for all compilers that run side by side."""
LEAST_MEMORY_BYTES = 2 << 30
MOST_MEMORY_BYTES = 16 << 30
CPU_SECONDS = 900
MOST_OUTPUT_BYTES = 4 << 20
FILE_BYTES = 256 << 20
_REACHABLE = (
    *(path for path in Path("/").iterdir() if path.name not in ("dev", "proc", "sys")),
    Path("/dev/null"),
)
"""What a compiler may reach: no device but null, and no process's files. Listed when this is
imported, for a confined process may not list it."""
_TEMPORARY = Path(tempfile.gettempdir()).resolve()
"""Where private folders lie."""
EXPANDS = (
    "what its text expands to is too much: macros that double, headers that include themselves, "
    "templates that branch"
)
_NO_MEMORY = re.compile(
    r"out of memory allocating|virtual memory exhausted|std::bad_alloc|cannot allocate memory",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"File size limit exceeded|File too large")
_TOP = re.compile(r"^#\$ TOP=(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Toolchain:
    """Paths and versions of the compilers; an empty path means that there is none."""

    nvcc: str
    cuda_home: str
    cxx: str
    versions: str
    """What the compilers say of themselves; part of every build's key."""

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders of the compilers and of what is installed with them."""
        found = [Path(tool).resolve().parent.parent for tool in (self.nvcc, self.cxx) if tool]
        return (*found, Path(self.cuda_home)) if self.cuda_home else tuple(found)

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
class Sight:
    """All that one compiler sees, where the candidate's private folder is to be hidden.

    Args:
        tools: folders of the compilers.
        files: what it may read in the private folder, files or folders.
        product: the folder that it writes; a folder for temporary files is made in it.
    """

    tools: tuple[Path, ...]
    files: tuple[Path, ...]
    product: Path

    @property
    def temporary(self) -> Path:
        """The compiler's own folder for temporary files, for as long as it runs."""
        return self.product / ".tmp"


@dataclass(frozen=True)
class Ran:
    """One finished command.

    Args:
        stopped: whether it met a limit, so that other headers would change nothing.
        late: whether that was the limit of time.
    """

    ok: bool
    output: str
    stopped: bool = False
    late: bool = False


@dataclass
class _Patience:
    """Until when compilers may run."""

    until: float = float("inf")


_patience = _Patience()


def allow(seconds: float) -> None:
    """Has compilers that run from now on end within so many seconds, all together."""
    _patience.until = time.monotonic() + seconds


def refuse_late(results: Sequence[Ran]) -> None:
    """Raises CandidateError ('build_timeout') when time ended a compiler, which may be honest."""
    if any(ran.late for ran in results):
        raise CandidateError(
            "build_timeout",
            "Its compilers were stopped when the time of a build was used up: this machine is slow "
            f"or busy, or {EXPANDS}",
        )


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


def run(
    commands: Sequence[Sequence[str]],
    cwd: Path | None = None,
    sights: Sequence[Sight | None] = (),
    most_bytes: int = MOST_OUTPUT_BYTES,
) -> list[Ran]:
    """Runs commands in `cwd`, as many at once as there are processors.

    Args:
        sights: what each sees of the candidate; None, and where there are none: everything.
        most_bytes: how much is kept of what each prints.

    Returns:
        What each printed, and whether it succeeded, in order.
    """
    at_once = min(len(commands), max(len(os.sched_getaffinity(0)), LEAST_AT_ONCE))
    limits = _limits(max(at_once, 1))
    running: deque[tuple[subprocess.Popen[bytes], IO[bytes], Sight | None]] = deque()
    results: list[Ran] = []
    for number, command in enumerate(commands):
        if len(running) == at_once:
            results.append(_ended(*running.popleft(), most_bytes))
        sight = sights[number] if number < len(sights) else None
        log = tempfile.TemporaryFile(dir=cwd)
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=_environment_of(sight),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=functools.partial(_confine, limits, sight),
        )
        running.append((process, log, sight))
    return results + [_ended(*one, most_bytes) for one in running]


def can_hide(private: Path) -> bool:
    """Whether a compiler can be kept from files of a private folder."""
    return landlock.abi() > 0 and private.resolve().is_relative_to(_TEMPORARY)


def _environment_of(sight: Sight | None) -> dict[str, str] | None:
    """The environment of a compiler, with its own folder for temporary files."""
    if sight is None:
        return None
    sight.temporary.mkdir(parents=True, exist_ok=True)
    return os.environ | {"TMPDIR": str(sight.temporary)}  # noqa: TID251 - the candidate's own


def _ended(
    process: subprocess.Popen[bytes], log: IO[bytes], sight: Sight | None, most_bytes: int
) -> Ran:
    with log:
        left = max(_patience.until - time.monotonic(), 0)
        try:
            code, late = process.wait(None if left == float("inf") else left), False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code, late = process.wait(), True
        if sight is not None:
            remove_tree(sight.temporary)
        log.seek(0)
        output = log.read(most_bytes).decode(errors="replace")
    words = _stopped_words(code, output, late=late)
    return Ran(code == 0, words + output, stopped=bool(words), late=late)


def _stopped_words(code: int, output: str, *, late: bool) -> str:
    """Why a compiler did not end by itself, as the first line of what it printed."""
    if code == 0:
        return ""
    if late:
        return f"error: the compiler was stopped when its time was used up; {EXPANDS}\n"
    if _NO_MEMORY.search(output):
        return f"error: the compiler had no memory left; {EXPANDS}\n"
    if code in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ) or _TOO_LARGE.search(output):
        return f"error: the compiler wrote a file of {FILE_BYTES >> 20} MiB; {EXPANDS}\n"
    return f"error: the compiler was ended by signal {-code}\n" if code < 0 else ""


def _limits(at_once: int) -> dict[int, int]:
    """The resource limits of one of so many compilers."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    share = int(MEMORY_SHARE * memory) // at_once
    return {
        resource.RLIMIT_AS: min(max(share, LEAST_MEMORY_BYTES), MOST_MEMORY_BYTES),
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_CORE: 0,
    }


def _confine(limits: Mapping[int, int], sight: Sight | None) -> None:
    """Narrows what a compiler may do, in its process, before it is executed."""
    for name, value in limits.items():
        _, hard = resource.getrlimit(name)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (bound, bound))
    if sight is None:
        landlock.restrict((), _REACHABLE)
    else:
        landlock.restrict((*_around(sight), *sight.files), (Path(os.devnull), sight.product))


def _around(sight: Sight) -> list[Path]:
    """What a compiler reads outside a private folder, which lies among temporary files."""
    roots = {Path(sys.prefix), Path(sys.base_prefix), *sight.tools}
    return [*(path for path in _REACHABLE if not _TEMPORARY.is_relative_to(path)), *roots]


def digest(*parts: str) -> str:
    """A sha256 over the parts and their lengths, so that no two lists collide."""
    state = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        state.update(len(encoded).to_bytes(8, "big"))
        state.update(encoded)
    return state.hexdigest()[:40]
