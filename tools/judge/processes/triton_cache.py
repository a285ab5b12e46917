"""Compiled Triton kernels, carried between processes of one and the same content.

A fresh process compiles every kernel again, for its cache is its own; half a second a kernel, times
the processes of a timing. So what one process of a candidate has compiled is laid into the others
of the same candidate, and into nobody else's: what a candidate's process wrote is as untrusted as
the candidate. Only Triton's own driver stubs, compiled by a process that ran nothing but a kernel
of ours, are shared by all.

Triton writes absolute paths into an entry's group file; they are rewritten on the way. Everything
is opened without following links, on both sides, since both belong to candidates.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ...settings import candidate_environment

FOLDER = "triton"
GROUP = "__grp__"
MOST_FILES = 4_000
MOST_BYTES = 256 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def carry(source: Path, target: Path) -> int:
    """Copies cache entries that the target lacks; what cannot be copied is left out.

    Args:
        source: a folder of Triton cache entries, each a folder of files.
        target: another one; it must exist.

    Returns:
        How many files were copied.
    """
    copied = 0
    paths = (str(source).encode(), str(target).encode())
    with contextlib.suppress(OSError), _opened(source) as reading, _opened(target) as writing:
        budget = MOST_BYTES
        for entry in sorted(os.listdir(reading)):
            if copied >= MOST_FILES or budget <= 0:
                break
            with contextlib.suppress(OSError):
                files, spent = _carry_entry(reading, writing, entry, budget, paths)
                copied += files
                budget -= spent
    return copied


def start_seed(folder: Path, device: str) -> subprocess.Popen[bytes] | None:
    """Has Triton's own stubs compiled beside the judge's work, unless that was done before."""
    if folder.is_dir() and any(folder.iterdir()):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "kernel_harness.tools.candidate.calls.warm_up_kernel",
            "--device",
            device,
        ],
        env=candidate_environment() | {"TRITON_CACHE_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def _opened(name: str | Path, within: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, _DIRECTORY, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _carry_entry(
    reading: int, writing: int, entry: str, budget: int, paths: tuple[bytes, bytes]
) -> tuple[int, int]:
    owner = os.fstat(writing)
    copied = spent = 0
    with _opened(entry, reading) as source:
        with contextlib.suppress(FileExistsError):
            os.mkdir(entry, 0o755, dir_fd=writing)
        with _opened(entry, writing) as target:
            _give(target, owner)
            for name in os.listdir(source)[:MOST_FILES]:
                size = _carry_file(source, target, name, owner, budget - spent, paths)
                copied += size is not None
                spent += size or 0
    return copied, spent


def _carry_file(
    source: int,
    target: int,
    name: str,
    owner: os.stat_result,
    room: int,
    paths: tuple[bytes, bytes],
) -> int | None:
    reading = os.open(name, _READ, dir_fd=source)
    try:
        facts = os.fstat(reading)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > room:
            return None
        try:
            writing = os.open(name, _WRITE, 0o755, dir_fd=target)
        except FileExistsError:
            return None
        try:
            left = facts.st_size
            # No more than it held at first: its owner may go on writing to it meanwhile.
            while part := os.read(reading, min(left, 1 << 20)):
                left -= len(part)
                os.write(writing, part.replace(*paths) if name.startswith(GROUP) else part)
            _give(writing, owner)
        finally:
            os.close(writing)
        return facts.st_size
    finally:
        os.close(reading)


def _give(descriptor: int, owner: os.stat_result) -> None:
    """Hands a file to the target folder's owner, where this process may."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
