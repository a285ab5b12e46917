"""Removes folders that a candidate has written into, whatever it left there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: Path) -> bool:
    """Removes a folder and all in it; returns whether it is gone, and raises nothing.

    Neither the depth of the folders nor the length of their paths matters: what lies in a subfolder
    is moved up to `folder` itself, so that no path is followed and nothing recurses. What cannot be
    removed stays.
    """
    with contextlib.suppress(OSError):
        root = os.open(folder, _OPEN)
        try:
            number = 0
            while names := _names(root):
                before = number
                for name in names:
                    number += _remove_entry(root, name, number)
                if number == before:
                    break
        finally:
            os.close(root)
        os.rmdir(folder)
    return not os.path.lexists(folder)


def _names(folder: int) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [entry.name for entry in entries]
    return []


def _remove_entry(root: int, name: str, number: int) -> int:
    """Removes one entry, its own subfolders moved to `root`; returns how many changes it made."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=root)
        return 1
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=root)
        return 1
    changes = 0
    with contextlib.suppress(OSError):
        os.chmod(name, 0o700, dir_fd=root)
        inner = os.open(name, _OPEN, dir_fd=root)
        try:
            for child in _names(inner):
                with contextlib.suppress(OSError):
                    os.unlink(child, dir_fd=inner)
                    changes += 1
                    continue
                with contextlib.suppress(OSError):
                    moved = f".removed-{os.getpid()}-{number + changes}"
                    os.chmod(child, 0o700, dir_fd=inner)
                    os.rename(child, moved, src_dir_fd=inner, dst_dir_fd=root)
                    changes += 1
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=root)
        changes += 1
    return changes
