"""Private folders of candidates whose judge was killed before it could remove them.

Each bears its judge's process id. A process of another container may have an id that is not seen
here, so a folder also has to be older than any trial before it goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

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
