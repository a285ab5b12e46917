"""The table of trials in the derived index: one row each, from the messages of their commits.

Derived like the rest of the index, and made again from git. Folders of refs that did not change
are not listed again, so that a question costs a look at each folder however many trials there are.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ....errors import ArchiveError
from ....signing.signature import TRIAL
from ....text import one_line
from ...git.objects import GitObject
from ..commit.message import read_trailers
from ..index import Index, transaction
from ..index_sync import STAMP_LAG_S, SyncedIndex, read_commit

if TYPE_CHECKING:
    from ....signing.keyring import Keyring
    from ...git.repository import Repository

TRIALS = "refs/trials"
"""Holds refs that are called DEFINITION/DAY/EVALUATION."""
_PACKED = "packed-refs"
_BATCH = 1_000
MOST_CHARACTERS = 200
"""Of one trailer: anybody may have written the commit."""
_FIGURE = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?(e[+-][0-9]{1,2})?")
OPEN, ARCHIVED, UNVERIFIED = "open", "archived", "unverified"
"""Of a trial: its bytes are in no candidate, they are, or no key that counts signed it."""


@dataclass(frozen=True)
class TrialRow:
    """One trial in a row.

    Attributes:
        name: the id of its evaluation.
        started_from: the candidate or trial that its workspace was opened from; may be empty.
        at: when its evaluation began, in seconds since the epoch.
        state: "open", "archived" (its bytes are) or "unverified".
    """

    name: str
    ref: str
    oid: str
    definition: str
    content_hash: str
    hardware: str
    scope: str
    status: str
    latency_us: float | None
    started_from: str
    at: int
    state: str = OPEN


_COLUMNS = ", ".join(field.name for field in fields(TrialRow))


class TrialTable:
    """The trials of one archive, brought up to git's refs before each question."""

    def __init__(self, repository: Repository, synced: SyncedIndex, keys: Keyring) -> None:
        self._repository = repository
        self._synced = synced
        self._keys = keys

    def rows(
        self, where: str = "1", values: Sequence[object] = (), tail: str = ""
    ) -> list[TrialRow]:
        """Trials that fulfil an SQL condition, e.g. "definition = ?"."""
        query = f"SELECT {_COLUMNS} FROM trials WHERE {where} {tail}"
        return [TrialRow(*row) for row in self.current().rows(query, values)]

    def count_open(self, definition: str | None = None) -> int:
        """How many trials are of bytes that are in no candidate."""
        only, values = (" AND definition = ?", [definition]) if definition else ("", [])
        query = f"SELECT COUNT(*) FROM trials WHERE state = '{OPEN}'{only}"
        return self.current().rows(query, values)[0][0]

    def current(self) -> Index:
        """The index, its trials as git's refs are now."""
        index = self._synced.current()
        if not self._repository.exists:
            return index
        known = dict(index.rows("SELECT folder, stamp FROM trial_folders"))
        stamps = self._stamps()
        if changed := {f for f in {*stamps, *known} if stamps.get(f) != known.get(f)}:
            self._synchronise(index, changed, stamps)
        return index

    def _synchronise(self, index: Index, changed: set[str], stamps: dict[str, str]) -> None:
        newest = time.time_ns() - int(STAMP_LAG_S * 1e9)
        packed = self._repository.packed_names(TRIALS)
        whole = _PACKED in changed
        folders = {f for f in {*stamps, *changed} if f != _PACKED and (whole or f in changed)}
        present = {n for folder in folders for n in self._repository.loose_in(folder)}
        if whole:
            present |= packed
            known = {row[0] for row in index.rows("SELECT ref FROM trials")}
        else:
            known = {ref for folder in folders for ref in _known_in(index, folder)}
        gone = known - present - packed
        missing = present - known
        with index.connect() as connection, transaction(connection):
            connection.executemany("DELETE FROM trials WHERE ref = ?", [(ref,) for ref in gone])
            connection.executemany(
                "DELETE FROM trial_folders WHERE folder = ?", [(f,) for f in changed]
            )
            connection.executemany(
                "INSERT OR REPLACE INTO trial_folders VALUES (?, ?)",
                [(f, _believed(stamps[f], newest)) for f in changed if f in stamps],
            )
        held = self._repository.held_by(missing) if missing else {}
        for batch in _batches(self._read(held), _BATCH):
            self.add(index, batch)

    def add(self, index: Index, trials: Iterable[TrialRow]) -> None:
        """Adds rows; the index itself sees which are of bytes that a candidate has."""
        marks = ", ".join("?" for _ in fields(TrialRow))
        with index.connect() as connection, transaction(connection):
            for trial in trials:
                row = [getattr(trial, field.name) for field in fields(TrialRow)]
                connection.execute(f"INSERT OR REPLACE INTO trials VALUES ({marks})", row)

    def _read(self, held: dict[str, str]) -> Iterator[TrialRow]:
        for ref, oid in held.items():
            try:
                yield trial_of(self._keys, ref, oid, read_commit(self._repository, oid))
            except (ArchiveError, ValueError, IndexError):
                yield TrialRow(
                    *(ref.rpartition("/")[2], ref, oid, "", "", "", "", "", None, "", 0),
                    state=UNVERIFIED,
                )

    def _stamps(self) -> dict[str, str]:
        """A text for each folder of trials' refs that changes when a ref in it comes or goes."""
        root = self._repository.path
        found = {_PACKED: _stamp(str(root / _PACKED))}
        for operator in _folders(str(root / TRIALS)):
            for day in _folders(operator.path):
                inside = f"{TRIALS}/{operator.name}/{day.name}"
                found[inside] = _stamp(day.path)
        return {folder: stamp for folder, stamp in found.items() if stamp}


def trial_of(keys: Keyring, ref: str, oid: str, commit: GitObject) -> TrialRow:
    """The row of a trial, from the trailers of its commit."""
    trailers = read_trailers(commit.message)
    said = {key: one_line(values[0], MOST_CHARACTERS) for key, values in trailers.items()}
    counts = keys.verify(commit.signature, TRIAL, commit.signed).counts
    counts = counts and ref.rpartition("/")[2] == said.get("Evaluation")
    latency = said.get("Latency-us")
    return TrialRow(
        name=ref.rpartition("/")[2],
        ref=ref,
        oid=oid,
        definition=said.get("Definition", ""),
        content_hash=said.get("Content-Hash", ""),
        hardware=said.get("Hardware", ""),
        scope=said.get("Scope", ""),
        status=said.get("Status", ""),
        latency_us=float(latency) if latency and _FIGURE.fullmatch(latency) else None,
        started_from=said.get("Parent-Candidate", ""),
        at=commit.committed_at,
        state=OPEN if counts else UNVERIFIED,
    )


def _believed(stamp: str, before: int) -> str:
    """A stamp that is old enough to be believed; one that no folder has where it is not."""
    return stamp if int(stamp.partition(".")[0]) < before else "too new"


def _known_in(index: Index, folder: str) -> list[str]:
    query = "SELECT ref FROM trials WHERE ref >= ? AND ref < ?"
    return [row[0] for row in index.rows(query, (f"{folder}/", f"{folder}0"))]


def _folders(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _stamp(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_mtime_ns}.{found.st_ino}.{found.st_size}"


def _batches(trials: Iterator[TrialRow], size: int) -> Iterator[list[TrialRow]]:
    batch: list[TrialRow] = []
    for trial in trials:
        batch.append(trial)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch
