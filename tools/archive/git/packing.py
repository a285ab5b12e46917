"""Packs what lies in files of its own, so that listing stays fast however much is written.

Each write makes a file for the ref and some for objects. Once there are many, one process packs
them in the background. Git locks what it rewrites and removes a file only after what it held is in
the pack: writers and readers go on meanwhile, and one killed on the way loses nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ...errors import ArchiveError
from .commands import TRANSFER_DEADLINE_S, Commands

MOST_LOOSE_REFS = 2_000
LOOK_EVERY = 200
"""Writes of one process between two looks at how many refs are loose."""
REFS_DEADLINE_S = 300.0
STALE_LOCK_S = 2 * REFS_DEADLINE_S
"""A lock so old is of a process that was killed: none that lives holds one for longer."""
_log = logging.getLogger(__name__)


class Packing:
    """Packs one repository, now or once enough was written."""

    def __init__(self, git: Commands) -> None:
        self._git = git
        self._writes = 0
        self._work: threading.Thread | None = None

    def note_write(self) -> None:
        """Notes that refs were written; begins to pack in the background where there are many."""
        self._writes += 1
        if self._writes % LOOK_EVERY != 1 or (self._work and self._work.is_alive()):
            return
        if loose_refs(self._git.path / "refs", MOST_LOOSE_REFS) >= MOST_LOOSE_REFS:
            self._work = threading.Thread(target=self._in_background, daemon=True)
            self._work.start()

    def pack(self, prune_since: str | None = None) -> bool:
        """Packs refs and objects; False where another process does.

        Args:
            prune_since: objects that nothing names and that are older go, too, in git's words.
        """
        with self._alone() as alone:
            if alone:
                self.remove_stale_lock()
                self._git.run("pack-refs", "--all", deadline_s=REFS_DEADLINE_S)
                self._git.run("repack", "-d", "-q", deadline_s=TRANSFER_DEADLINE_S)
            if alone and prune_since:
                unpack = f"--unpack-unreachable={prune_since}"
                self._git.run("repack", "-A", "-d", "-q", unpack, deadline_s=TRANSFER_DEADLINE_S)
                self._git.run("prune", f"--expire={prune_since}", deadline_s=TRANSFER_DEADLINE_S)
            return alone

    def remove_stale_lock(self) -> None:
        """Deletes what a killed process left of a change of packed refs: git would refuse all."""
        for name in ("packed-refs.lock", "packed-refs.new"):
            left = self._git.path / name
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > STALE_LOCK_S:
                    left.unlink()

    def finish(self) -> None:
        """Waits for what was begun in the background."""
        if self._work:
            self._work.join()

    def _in_background(self) -> None:
        try:
            self.pack()
        except (ArchiveError, OSError):
            _log.warning("The archive could not be packed", exc_info=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        with (self._git.path / "packing.lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def loose_refs(folder: Path, most: int) -> int:
    """How many refs below a folder lie in files of their own; counts to about `most` at most."""
    count = 0
    for _, _, names in os.walk(folder):
        count += len(names)
        if count >= most:
            break
    return count
