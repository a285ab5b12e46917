"""Keeps the products of compilers between candidates, on behalf of one candidate's process.

The cache lies where no candidate can look. Before it loads any of the agent's code, a candidate's
process asks its supervisor, which is outside the sandbox, for the entries that its own build needs;
they are copied into its private folder. What it compiled is copied from there into the cache.

Names of entries are digests over all that an entry depends on, so an entry never changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...folders import remove_tree
from ...messages.zygote import BUILDS_FOLDER, FETCHED_FOLDER

MOST_BYTES = 128 << 20
"""Most bytes that one candidate's process may add to the cache, over all its entries."""
LINE_BYTES = 4096
_KEY = re.compile(r"[0-9a-z-]{8,120}\Z")


@dataclass
class BuildCache:
    """The cache as one candidate's supervisor serves it.

    Args:
        cache: folder of all entries; None: nothing is found and nothing kept.
        private: folder of the candidate.
        left: bytes that may still be added.
    """

    cache: Path | None
    private: Path
    left: int = field(default=MOST_BYTES)

    def serve(self, requests: int) -> None:
        """Answers until the candidate shuts its end, which it does before it loads any code.

        It then waits for this end to be closed, so that nothing is copied beside running code.

        Args:
            requests: descriptor of a stream socket; closed at the end.
        """
        with socket.socket(fileno=requests) as sock, sock.makefile("rb") as stream:
            while line := stream.readline(LINE_BYTES):
                with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
                    self._answer(json.loads(line), sock)

    def _answer(self, request: dict[str, Any], sock: socket.socket) -> None:
        key = str(request["key"])
        known = self.cache is not None and _KEY.match(key) is not None
        if request["do"] == "fetch":
            found = known and self.fetch(key)
            sock.sendall(b"1" if found else b"0")
        elif known:
            self.publish(key)

    def fetch(self, key: str) -> bool:
        """Copies an entry into the private folder; False where there is none."""
        assert self.cache is not None
        source, target = self.cache / key, self.private / FETCHED_FOLDER / key
        if target.is_dir():
            return True
        if not source.is_dir():
            return False
        draft = target.with_name(f"{key}.draft")
        try:
            _copy_tree(source, draft, most_bytes=None)
            # Entries are renamed before they are removed: this one was there until it was copied.
            os.utime(source)
            os.rename(draft, target)
        except OSError:
            return False
        finally:
            remove_tree(draft)
        return True

    def publish(self, key: str) -> bool:
        """Copies a finished folder into the cache by an atomic rename; the first one stays.

        Only regular files are copied, links are not followed, and a folder over what is left of
        the candidate's share is left out whole.
        """
        assert self.cache is not None
        folder, target = self.private / BUILDS_FOLDER / key, self.cache / key
        if target.exists() or not folder.is_dir():
            return False
        draft = self.cache / f".draft-{key}-{os.getpid()}-{time.monotonic_ns()}"
        try:
            copied = _copy_tree(folder, draft, most_bytes=self.left)
            os.rename(draft, target)
        except OSError:
            return False
        finally:
            remove_tree(draft)
        self.left -= copied
        return True


class TooManyBytesError(OSError):
    """Raised when a folder is larger than what may be copied of it."""


def _copy_tree(source: Path, target: Path, *, most_bytes: int | None) -> int:
    """Copies a folder of regular files, for everybody to read; returns its bytes."""
    copied = 0
    for root, _, names in os.walk(source, followlinks=False):
        place = target / Path(root).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        for name in names:
            left = None if most_bytes is None else most_bytes - copied
            copied += _copy_regular(Path(root) / name, place / name, left)
    return copied


def _copy_regular(source: Path, target: Path, left: int | None) -> int:
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as stream:
        state = os.fstat(stream.fileno())
        if (state.st_mode & 0o170000) != 0o100000:
            raise OSError(f"{source} is no regular file")
        if left is not None and state.st_size > left:
            raise TooManyBytesError(f"{source} is larger than the {left} bytes that are left")
        with target.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        target.chmod(0o755 if state.st_mode & 0o100 else 0o644)
    return state.st_size
