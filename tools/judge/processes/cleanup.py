"""Evicts old builds from the build cache and removes stale private folders of candidates.

Builds are addressed by content and never change, so the oldest is evicted first; at worst it is
made again. A build younger than a day is kept: another judge may be about to read it.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...folders import remove_tree

MOST_BYTES = 20 << 30
YOUNG_S = 86_400.0
COMPILED_KERNELS = "triton-kernels"
"""Folder of compiled Triton kernels within the cache, one subfolder for each content hash."""
_BUILDS = ("native-", "object-", ".draft-")


@dataclass(frozen=True)
class _CachedBuild:
    folder: Path
    cached_at: float
    nbytes: int


def evict_builds(cache: Path, *, most_bytes: int = MOST_BYTES, young_s: float = YOUNG_S) -> int:
    """Removes the oldest builds until `most_bytes` suffice; returns the bytes freed.

    Args:
        cache: the build cache; it need not exist.
        young_s: age in seconds below which nothing is removed.
    """
    builds = sorted(_builds(cache), key=lambda build: build.cached_at)
    excess = sum(build.nbytes for build in builds) - most_bytes
    freed = 0
    for build in builds:
        if freed >= excess or time.time() - build.cached_at < young_s:
            break
        remove_tree(build.folder)
        freed += build.nbytes
    return freed


def _builds(cache: Path) -> Iterator[_CachedBuild]:
    for folder in (cache, cache / COMPILED_KERNELS):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if folder == cache and not entry.name.startswith(_BUILDS):
                continue
            with contextlib.suppress(OSError):
                files = [path.lstat() for path in entry.rglob("*")]
                nbytes = sum(state.st_size for state in files)
                yield _CachedBuild(entry, entry.lstat().st_mtime, nbytes)


OLD_S = 4 * 3_600.0
_PRIVATE = re.compile(r"kernel-harness-candidate-(\d+)-")


def private_folder() -> Path:
    """Makes the private folder of one candidate; its name holds the id of this process."""
    return Path(tempfile.mkdtemp(prefix=f"kernel-harness-candidate-{os.getpid()}-"))


def remove_stale_folders(places: Path | None = None, *, old_s: float = OLD_S) -> list[str]:
    """Removes old private folders of candidates whose judge is gone; returns their names.

    Args:
        places: the folder that holds them; None: the system's folder for temporary files.
        old_s: age in seconds below which none is removed.
    """
    removed = []
    for entry in os.scandir(places or tempfile.gettempdir()):
        owner = _PRIVATE.match(entry.name)
        with contextlib.suppress(OSError):
            if owner is None or not entry.is_dir(follow_symlinks=False):
                continue
            age = time.time() - entry.stat(follow_symlinks=False).st_mtime
            if age > old_s and not Path("/proc", owner[1]).exists():
                if remove_tree(Path(entry.path)):
                    removed.append(entry.name)
    return removed
