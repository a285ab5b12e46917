"""Who waits for a GPU in any server of this machine: a file for each, numbered as they came.

A file is locked by the process that waits, so that one whose process died is known, and removed.
Who waits looks often, and each look renews its ticket: one that was stopped holds nobody up. When
that was is told by the clock that nobody sets, as the time at which the file was changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from .device_lock import lock_name, machine_folder

FOLDER = "kernel-harness-waiting"
MOST_BYTES = 8_192
STALE_S = 10.0
"""Without a look: many times what lies between two of them, and more than a server is ever busy."""
_counter = itertools.count()


class Ticket:
    """A place in the line for some devices; the processor has no line beyond this server.

    Attributes:
        number: lower ones come first; of all servers of a machine, in the order of drawing.
        locks: of the devices.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self.number = f"{time.monotonic_ns():020d}-{os.getpid()}-{next(_counter)}"
        self.locks = frozenset(
            lock_name(device) for device in devices if device.startswith("cuda:")
        )
        self._file = _written(self.number, self.locks) if self.locks else None

    @property
    def in_files(self) -> bool:
        """Whether other servers see it."""
        return self._file is not None

    def renew(self) -> None:
        """Says that who holds it still looks."""
        if self._file is not None:
            _note_look(self._file)

    def earlier(self) -> dict[str, frozenset[str]]:
        """By the number of each that waits before this one, the locks that it would take."""
        if self._file is None:
            return {}
        self.renew()
        return {number: locks for number, locks in _waiting() if number < self.number}

    def discard(self) -> None:
        """Leaves the line."""
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                (_folder() / self.number).unlink()
            self._file.close()
            self._file = None


def waiting_for(devices: Iterable[str]) -> set[str]:
    """The numbers of what waits for any of these devices, in whatever server."""
    names = {lock_name(device) for device in devices}
    return {number for number, locks in _waiting() if locks & names}


def _folder() -> Path:
    folder = machine_folder() / FOLDER
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(PermissionError):  # made by another account meanwhile
            folder.chmod(0o1777)
    return folder


def _written(number: str, locks: Iterable[str]) -> IO[str]:
    """The file of a ticket, locked before others can see it."""
    hidden = _folder() / f".{number}"
    file = hidden.open("x", encoding="ascii")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.write("\n".join(locks))
    file.flush()
    _note_look(file)
    hidden.rename(hidden.with_name(number))
    return file


def _note_look(file: IO[str]) -> None:
    now = time.monotonic_ns()
    os.utime(file.fileno(), ns=(now, now))


def _waiting() -> Iterator[tuple[str, frozenset[str]]]:
    """The tickets of processes that live and look, by their numbers."""
    folder = _folder()
    for name in sorted(os.listdir(folder)):
        if name.startswith("."):
            continue
        with contextlib.suppress(OSError), (folder / name).open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() - os.fstat(file.fileno()).st_mtime > STALE_S:
                    continue
                said = os.pread(file.fileno(), MOST_BYTES, 0).decode("ascii", "replace")
                yield name, frozenset(said.split("\n"))
            else:  # its process is gone
                (folder / name).unlink()
