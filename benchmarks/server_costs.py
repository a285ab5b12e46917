"""What a server has taken so far beside its judges: processor time, and bytes on the disk.

Other benchmarks use it; it runs nothing by itself.
"""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

from kernel_harness.tools.harness import Harness


def costs(harness: Harness) -> dict[str, float]:
    """Processor seconds of this server and of its git so far, and bytes of what it has written."""
    archive = harness.settings.archive_dir
    own, ended = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    index = sum(path.stat().st_size for path in archive.glob("index*"))
    return {
        "server, processor s": own.ru_utime + own.ru_stime,
        "git, processor s": ended.ru_utime + ended.ru_stime + _git_that_stays_s(),
        "records, bytes": _bytes_below(archive / "evaluations"),
        "git, bytes": _bytes_below(archive / "repository.git"),
        "index, bytes": float(index),
    }


def _git_that_stays_s() -> float:
    """Processor seconds of this server's processes of git that have not ended."""
    found = 0
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                name, _, fields = Path(f"/proc/{child}/stat").read_text().rpartition(") ")
                if name.endswith("(git"):
                    found += sum(map(int, fields.split()[11:13]))
    return found / os.sysconf("SC_CLK_TCK")


def _bytes_below(folder: Path) -> float:
    """What the files below a folder take on the disk."""
    return float(sum(p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file()))
