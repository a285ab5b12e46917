"""The folder of finished builds, kept within a bound.

Builds lie under what they were made from and never change, so the one that was put there longest
ago goes first; at worst it is made again. One that is younger than a day stays whatever the bound,
for another judge of this machine may be about to read it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 20 << 30
YOUNG_S = 86_400.0
COMPILED_KERNELS = "triton-kernels"
"""Holds one folder of compiled Triton kernels for each content; the others lie beside it."""
_BUILDS = ("native-", "object-", ".draft-")


@dataclass(frozen=True)
class _Build:
    folder: Path
    put_there: float
    nbytes: int


def prune(cache: Path, *, most_bytes: int = MOST_BYTES, young_s: float = YOUNG_S) -> int:
    """Removes the oldest builds until the rest fits.

    Args:
        cache: the folder of finished builds; it need not exist.
        most_bytes: what may stay.
        young_s: age in seconds below which nothing is removed.

    Returns:
        Bytes that were given back.
    """
    builds = sorted(_builds(cache), key=lambda build: build.put_there)
    excess = sum(build.nbytes for build in builds) - most_bytes
    freed = 0
    for build in builds:
        if freed >= excess or time.time() - build.put_there < young_s:
            break
        shutil.rmtree(build.folder, ignore_errors=True)
        freed += build.nbytes
    return freed


def _builds(cache: Path) -> Iterator[_Build]:
    for folder in (cache, cache / COMPILED_KERNELS):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if folder == cache and not entry.name.startswith(_BUILDS):
                continue
            with contextlib.suppress(OSError):
                files = [path.lstat() for path in entry.rglob("*")]
                nbytes = sum(state.st_size for state in files)
                yield _Build(entry, entry.lstat().st_mtime, nbytes)


OLD_S = 4 * 3_600.0


_PRIVATE = re.compile(r"kernel-harness-candidate-(\d+)-")


def private_folder() -> Path:
    """Makes the private folder of one candidate of this process."""
    return Path(tempfile.mkdtemp(prefix=f"kernel-harness-candidate-{os.getpid()}-"))


def sweep(places: Path | None = None, *, old_s: float = OLD_S) -> list[str]:
    """Removes the old private folders of judges that are gone.

    Args:
        places: where such folders are made; None: where temporary ones are.
        old_s: age in seconds below which none is removed.

    Returns:
        The names of those removed.
    """
    removed = []
    for entry in os.scandir(places or tempfile.gettempdir()):
        owner = _PRIVATE.match(entry.name)
        with contextlib.suppress(OSError):
            if owner is None or not entry.is_dir(follow_symlinks=False):
                continue
            age = time.time() - entry.stat(follow_symlinks=False).st_mtime
            if age > old_s and not Path("/proc", owner[1]).exists():
                shutil.rmtree(entry.path)
                removed.append(entry.name)
    return removed
