"""Connections to one SQLite file, opened once and lent again.

To open one takes longer than most questions, and the last that is closed writes the whole log back
to the file. The file may be deleted, replaced or damaged by others at any time: connections to what
it was before are not lent again.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_MOST = 4
"""Connections that are kept for the next question."""
_State = tuple[int, int, int, int]


class Connections:
    """Connections to one file, each lent to one user at a time, in autocommit mode.

    Args:
        prepare: makes a new connection ready, e.g. its schema.
    """

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._path, self._prepare = path, prepare
        self._lock = threading.Lock()
        self._idle: list[tuple[_State, sqlite3.Connection]] = []
        weakref.finalize(self, _close, self._idle)

    @contextlib.contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """A connection to the file as it is now, made where none is kept."""
        connection = self._kept() or self._opened()
        file = _state(self._path)
        fit = False
        try:
            yield connection
            fit = not connection.in_transaction and not _has_own_tables(connection)
        finally:
            if not fit or not self._keep(connection, file):
                connection.close()

    def close(self) -> None:
        """Closes what is kept; what is lent is kept afterwards."""
        with self._lock:
            _close(self._idle)

    def _kept(self) -> sqlite3.Connection | None:
        now = _state(self._path)
        with self._lock:
            while self._idle:
                state, connection = self._idle.pop()
                if state == now:
                    return connection
                connection.close()
        return None

    def _opened(self) -> sqlite3.Connection:
        import sqlite3

        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=30.0, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep(self, connection: sqlite3.Connection, lent: _State | None) -> bool:
        """Keeps a connection, if the file is the one that it was lent to, whatever is in it now."""
        state = _state(self._path)
        if state is None or lent is None or state[:2] != lent[:2]:
            return False
        with self._lock:
            if len(self._idle) >= _MOST:
                return False
            self._idle.append((state, connection))
        return True


def _state(path: Path) -> _State | None:
    """What tells a file from the one that was there before; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _has_own_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_temp_master LIMIT 1").fetchone() is not None


def _close(idle: list[tuple[_State, sqlite3.Connection]]) -> None:
    while idle:
        idle.pop()[1].close()
