"""Copies compiled Triton kernels between processes that run the same sources.

Every candidate process has a Triton cache of its own, so each would compile each kernel again: half
a second a kernel, times the processes of a timing. Kernels that one process of a candidate compiled
are copied to its other processes of the same trial and to no others, since a file that a candidate
wrote is as untrusted as the candidate; runs of one race count as a trial, since they decide nothing
but who is judged, in trials to which nothing of the race is given. Two things are given to all:
Triton's driver stubs, compiled by a process that ran nothing but a kernel of ours, and launchers
that an operator's own baseline compiled. A launcher is C that Triton writes from the types of a
kernel's arguments alone; compiling it takes as long as the kernel.

Only what Triton names as its own is copied: files of its stages, in folders named by a digest.
Triton writes absolute paths into an entry's group file; they are rewritten. Nothing is opened
through a link, on either side, since both folders belong to candidates. A file appears whole or not
at all, whatever ends the copying.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ...driver.cubin import CubinError, read_cubin
from ...folders import remove_tree
from ...settings import candidate_environment

FOLDER = "triton"
GROUP = "__grp__"
MOST_FILES = 4_000
MOST_BYTES = 256 << 20
MOST_RACE_BYTES = 1 << 30
"""Of all the kernels of a race; what is compiled beyond that is compiled again."""
MOST_NOTES_BYTES = 1 << 20
"""Of what Triton notes of one kernel, which is a thousand: it is parsed."""
LEAST_BYTES = 4 << 10
"""That a file takes on a disk, however short it is."""
COMPILED_WITH = frozenset(("hash", "num_stages", "maxnreg", "enable_fp_fusion"))
"""Of what Triton notes of a kernel, that which acts by the code alone."""
_ENTRY = re.compile(r"[A-Z2-7]{52}\Z|[0-9a-f]{64}\Z")
_CUBIN = re.compile(r"[\w.-]{1,200}\.cubin\Z")
_LAUNCHER = re.compile(r"__triton_launcher\.[\w.-]{1,100}\.so\Z")
_FILE = re.compile(r"[\w.-]{1,200}\.(?:json|source|ttir|ttgir|llir|ptx|cubin|so)\Z")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def copy_kernels(source: Path, target: Path, most_bytes: int = MOST_BYTES) -> int:
    """Copies the cache entries that the target lacks; returns how many files were copied.

    Both are folders of Triton cache entries, each a folder of files; the target must exist. What
    cannot be copied is skipped.
    """
    return _copy(source, target, _FILE, most_bytes)


def copy_launchers(source: Path, target: Path) -> int:
    """Copies the launchers alone; returns how many were copied."""
    return _copy(source, target, _LAUNCHER)


def machine_code(folder: Path, besides: Path | None = None) -> str:
    """A hash of the code in a cache and of how it is launched; empty where that cannot be told.

    What compilers were asked for is no part of it: of a kernel without a loop any number of stages
    gives the same code.

    Args:
        besides: entries that are here, too, count for nothing.
    """
    known = set(os.listdir(besides)) if besides is not None and besides.is_dir() else set[str]()
    found: list[bytes] = []
    left = MOST_BYTES
    try:
        with _opened(folder) as cache:
            for entry in sorted(os.listdir(cache)):
                if not _ENTRY.match(entry) or entry in known:
                    continue
                with _opened(entry, cache) as files:
                    for name in filter(_CUBIN.match, os.listdir(files)):
                        code = _bytes_of(files, name, left)
                        notes = f"{name.removesuffix('cubin')}json"
                        launch = _bytes_of(files, notes, min(left, MOST_NOTES_BYTES))
                        left -= len(code) + len(launch)
                        asked = json.loads(launch)
                        kept = {key: asked[key] for key in sorted(asked.keys() - COMPILED_WITH)}
                        words = json.dumps(kept, sort_keys=True).encode()
                        found.append(read_cubin(code).code_digest() + words)
    except (OSError, ValueError, AttributeError, RecursionError, CubinError):  # by a candidate
        return ""
    return hashlib.sha256(b"\n".join(sorted(found))).hexdigest() if found else ""


def _bytes_of(folder: int, name: str, most_bytes: int) -> bytes:
    """The bytes of a file; an OSError where it is none, or too long."""
    reading = os.open(name, _READ, dir_fd=folder)
    with os.fdopen(reading, "rb") as file:
        if not stat.S_ISREG(os.fstat(reading).st_mode):
            raise OSError(f"{name} is no file")
        found = file.read(most_bytes + 1)
    if len(found) > most_bytes:
        raise OSError(f"{name} is too long")
    return found


class RaceKernels:
    """Kernels that the runs of one race compiled, each for later runs of the same sources.

    Args:
        folder: made when it is needed, and removed with what is in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._race = ""
        self._bytes: dict[str, int] = {}
        self._keeping = threading.Lock()

    def enter(self, race: str) -> None:
        """Drops the kernels of every other race; of a trial that is no race's run, all of them."""
        if race != self._race:
            with self._keeping:  # who is about to keep some would leave them behind
                self._race, self._bytes = race, {}
                remove_tree(self._folder)

    def give(self, race: str, content_hash: str | None, target: Path) -> int:
        """Copies what runs of the race compiled of some sources; returns how many files."""
        if not race or race != self._race or not content_hash:
            return 0
        return copy_kernels(self._folder / content_hash, target)

    def keep(self, race: str, content_hash: str, source: Path) -> None:
        """Keeps what a run of the race compiled, unless there is too much already."""
        kept = self._folder / content_hash
        with self._keeping, contextlib.suppress(OSError):  # as what cannot be copied is skipped
            left = MOST_RACE_BYTES - sum(self._bytes.values())
            if not race or race != self._race or left <= 0:
                return
            kept.mkdir(parents=True, exist_ok=True)
            copy_kernels(source, kept, min(left, MOST_BYTES))
            sizes = (file.lstat().st_size for file in kept.rglob("*"))
            self._bytes[content_hash] = sum(max(size, LEAST_BYTES) for size in sizes)


def start_seed(folder: Path, device: str) -> subprocess.Popen[bytes] | None:
    """Starts a process that compiles Triton's driver stubs, unless the folder holds them."""
    if folder.is_dir() and any(folder.iterdir()):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "kernel_harness.tools.candidate.calls.warm_up_kernel",
            "--device",
            device,
        ],
        env=candidate_environment() | {"TRITON_CACHE_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _copy(source: Path, target: Path, named: re.Pattern[str], most_bytes: int = MOST_BYTES) -> int:
    copied = 0
    paths = (str(source).encode(), str(target).encode())
    with contextlib.suppress(OSError), _opened(source) as reading, _opened(target) as writing:
        left = most_bytes
        for entry in sorted(os.listdir(reading)):
            if copied >= MOST_FILES or left <= 0:
                break
            if not _ENTRY.match(entry):
                continue
            with contextlib.suppress(OSError):
                files, spent = _copy_entry(reading, writing, entry, named, left, paths)
                copied += files
                left -= spent
    return copied


@contextlib.contextmanager
def _opened(name: str | Path, within: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, _DIRECTORY, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _copy_entry(
    reading: int,
    writing: int,
    entry: str,
    named: re.Pattern[str],
    left: int,
    paths: tuple[bytes, bytes],
) -> tuple[int, int]:
    owner = os.fstat(writing)
    copied = spent = 0
    with _opened(entry, reading) as source:
        names = list(filter(named.match, os.listdir(source)[:MOST_FILES]))
        if not names:
            return 0, 0
        # Triton takes an entry for whole by its group file, and others may read the target.
        names.sort(key=lambda name: name.startswith(GROUP))
        with contextlib.suppress(FileExistsError):
            os.mkdir(entry, 0o755, dir_fd=writing)
        with _opened(entry, writing) as target:
            _give(target, owner)
            for name in names:
                size = _copy_file(source, target, name, owner, left - spent, paths)
                copied += size is not None
                spent += size or 0
    return copied, spent


def _copy_file(
    source: int,
    target: int,
    name: str,
    owner: os.stat_result,
    most_bytes: int,
    paths: tuple[bytes, bytes],
) -> int | None:
    reading = os.open(name, _READ, dir_fd=source)
    try:
        facts = os.fstat(reading)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > most_bytes:
            return None
        if _is_there(target, name):
            return None
        draft = f".{name}.{secrets.token_hex(4)}.part"
        writing = os.open(draft, _WRITE, 0o755, dir_fd=target)
        try:
            with os.fdopen(writing, "wb") as file:
                unread = facts.st_size
                # No more than its first size: its owner may be appending to it.
                while part := os.read(reading, min(unread, 1 << 20)):
                    unread -= len(part)
                    file.write(part.replace(*paths) if name.startswith(GROUP) else part)
                file.flush()
                _give(writing, owner)
            if unread:
                return None
            # Whole or not at all: of a launcher that is cut off every later trial would die.
            os.replace(draft, name, src_dir_fd=target, dst_dir_fd=target)
            return facts.st_size
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=target)
    finally:
        os.close(reading)


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _give(descriptor: int, owner: os.stat_result) -> None:
    """Gives a file to the owner of the target folder, where this process may."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
