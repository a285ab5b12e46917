"""Names of what is written: what is made must not be there, and no two share a file."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import IO

from ...errors import RequestError

MOST_CHARACTERS = 100
"""Of one component; file systems take 255 bytes, and endings are added."""


def new_folder(out: Path) -> None:
    """Makes a folder to write to.

    Raises:
        RequestError: when something is there, or it cannot be made.
    """
    remedy = "Name a folder that does not exist yet, or is empty."
    try:
        if out.is_symlink() or out.exists():
            if not out.is_dir() or any(out.iterdir()):
                raise RequestError(f"{out} is in use", remedy=remedy)
        else:
            out.mkdir(parents=True)
    except OSError as error:
        raise RequestError(f"{out} cannot be made: {error.strerror}", remedy=remedy) from error


def new_file(out: Path) -> IO[str]:
    """Opens a file to write to, in a folder that is made where it is missing.

    Raises:
        RequestError: when something is there, or it cannot be made.
    """
    remedy = "Name a file that does not exist yet."
    try:
        if out.is_symlink() or out.exists():
            raise RequestError(f"{out} exists", remedy=remedy)
        out.parent.mkdir(parents=True, exist_ok=True)
        return out.open("x", encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{out} cannot be made: {error.strerror}", remedy=remedy) from error


def file_part(name: str) -> str:
    """A name as one component of a path, for FlashInfer-Bench refuses others."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")
    return plain[:MOST_CHARACTERS].rstrip("-.") or "unnamed"


class FileNames:
    """Components of paths, each given once; capitals alone tell none apart on every system."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str, content: str = "") -> str:
        """A name as a component of a path; with a digest of its content where it was given."""
        plain = part = file_part(name)
        number = 0
        while part.lower() in self._taken:
            said = f"{content or name}{number or ''}"
            part = f"{plain}_{hashlib.sha256(said.encode()).hexdigest()[:8]}"
            number += 1
        self._taken.add(part.lower())
        return part
