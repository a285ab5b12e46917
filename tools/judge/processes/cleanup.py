"""Evicts builds from the build cache and removes stale private folders of candidates.

Builds are addressed by content and never change; at worst one is made again. Each use sets a
build's time, and the one that was used longest ago is evicted first.
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

MOST_BYTES = 8 << 30
DRAFT_S = 3_600.0
"""Age of a copy that was never finished."""
BASELINE_KERNELS = "baseline-kernels"
"""Folder of the kernels of operators' own baselines, one subfolder for each content hash."""
_BUILDS = ("native-", "object-")
TRITON_SEED = "triton-seed"
"""Folder of what Triton's driver compiles for every process."""
RACE_KERNELS = ".race-"
"""Begins the name of the folder of a race's kernels; the id of the judge's process ends it."""
_LEFT_OVER = (".draft-", ".evicted-", RACE_KERNELS)
_UNTRUSTED = "triton-kernels"
"""Where earlier versions kept what candidates' processes had written."""


@dataclass(frozen=True)
class _CachedBuild:
    folder: Path
    used_at: float
    nbytes: int


def close_cache(cache: Path) -> None:
    """Makes the cache if need be, and lets no other account than this one enter it."""
    cache.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):
        cache.chmod(0o700)


def evict_builds(cache: Path, *, most_bytes: int = MOST_BYTES) -> int:
    """Removes the builds used longest ago until `most_bytes` suffice; returns the bytes freed.

    Args:
        cache: the build cache; it need not exist.
    """
    _remove_left_over(cache)
    builds = sorted(_builds(cache), key=lambda build: build.used_at)
    excess = sum(build.nbytes for build in builds) - most_bytes
    freed = 0
    for build in builds:
        if freed >= excess:
            break
        # Whoever is copying it sees by its name that the copy may lack something.
        gone = cache / f".evicted-{build.folder.name}-{os.getpid()}"
        with contextlib.suppress(OSError):
            build.folder.rename(gone)
            freed += build.nbytes
        remove_tree(gone)
    return freed


def _builds(cache: Path) -> Iterator[_CachedBuild]:
    for folder in (cache, cache / BASELINE_KERNELS):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if folder == cache and not entry.name.startswith(_BUILDS):
                continue
            with contextlib.suppress(OSError):
                files = [path.lstat() for path in entry.rglob("*")]
                nbytes = sum(state.st_size for state in files)
                yield _CachedBuild(entry, entry.lstat().st_mtime, nbytes)


def _remove_left_over(cache: Path) -> None:
    """Removes what a process that was killed left, and what no version uses any more."""
    for entry in cache.iterdir() if cache.is_dir() else ():
        with contextlib.suppress(OSError):
            old = time.time() - entry.lstat().st_mtime > DRAFT_S
            if entry.name == _UNTRUSTED or (old and entry.name.startswith(_LEFT_OVER)):
                remove_tree(entry)


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
