"""The plans that count here: found by comparing the names of refs with the index, as candidates."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence

from ....errors import unknown_name
from ....schema.search.plan import SearchPlan
from ....signing.keyring import Keyring
from ...git.repository import Repository
from ..index import Index, transaction
from ..index_sync import SyncedIndex
from .commits import PLANS, StoredPlan, is_plan_ref, read_plan, write_plan

_STAMP_LAG_S = 0.1
"""A folder that changed later than this may change again without its time stamp showing it."""
_KEY = "plans"
MOST_UNTRIED = 200


class PlanListing:
    """The plans of one archive."""

    def __init__(self, repository: Repository, keys: Keyring, synced: SyncedIndex) -> None:
        self._repository = repository
        self._keys = keys
        self._synced = synced

    def write(
        self, record: SearchPlan, sources: Mapping[str, str], parents: Sequence[str] = ()
    ) -> StoredPlan:
        """Stores a plan, dated now; `parents` are the commits that its scaffold was begun from."""
        return write_plan(self._repository, self._keys, record, sources, parents)

    def of(self, definition: str | None = None, limit: int = -1) -> list[StoredPlan]:
        """The plans of one operator, or all, oldest first, without their sources.

        With a limit the newest of them.
        """
        where, values = ("definition = ?", [definition]) if definition else ("1", [])
        tail = f"WHERE {where} ORDER BY at DESC, id DESC LIMIT {int(limit)}"
        rows = self._current().rows(f"{_COLUMNS} {tail}", values)
        return [_listed(row) for row in reversed(rows)]

    def untried(self, definition: str) -> list[StoredPlan]:
        """An operator's newest plans that no candidate of the index names, without sources."""
        rows = self._current().rows(
            f"{_COLUMNS} WHERE definition = ? AND NOT EXISTS (SELECT 1 FROM labels l"
            " WHERE l.kind = 'plan' AND l.label = plans.id) ORDER BY at DESC, id DESC"
            f" LIMIT {MOST_UNTRIED}",
            [definition],
        )
        return [_listed(row) for row in rows]

    def find(self, name: str) -> StoredPlan | None:
        """A plan by its id or a unique beginning of it, without its sources; None where none is."""
        prefix = name.strip().lower()[:12]
        if not re.fullmatch(r"[0-9a-f]{4,12}", prefix):
            return None
        query = f"{_COLUMNS} WHERE id >= ? AND id < ? LIMIT 2"
        rows = self._current().rows(query, [prefix, f"{prefix}g"])
        return _listed(rows[0]) if len(rows) == 1 else None

    def read(self, name: str) -> StoredPlan:
        """A plan with its sources, by its id or a unique beginning of it.

        Raises:
            RequestError: when there is none.
        """
        found = self.find(name)
        read = found and read_plan(self._repository, self._keys, found.ref, found.commit)
        if not read:
            known = [plan.plan_id for plan in self.of()[-50:]]
            remedy = (
                "record_plan makes one; kernel-harness plans lists them. A workspace names its plan"
                " in candidate.toml: take that line out where the plan was left on another machine."
            )
            raise unknown_name("plan", name, known, remedy=remedy)
        return read

    def _current(self) -> Index:
        """The index, after adding the plans that it lacks and removing those that are gone."""
        index = self._synced.index  # of candidates whoever asks has brought it up to date
        if not self._repository.exists:
            return index
        at, stamp = time.time(), self._repository.ref_fingerprint(PLANS)
        if index.recall(_KEY) == stamp:
            return index
        known = {row[0] for row in index.rows("SELECT ref FROM plans")}
        present = {ref for ref in self._repository.ref_names(PLANS) if is_plan_ref(ref)}
        missing = self._repository.held_by(present - known)
        read = (read_plan(self._repository, self._keys, ref, oid) for ref, oid in missing.items())
        _write(index, filter(None, read), known - present)
        newest = max((int(n) for n in re.findall(r"(\d+)\.\d+\.\d+", stamp)), default=0)
        index.remember(_KEY, stamp if at - newest / 1e9 > _STAMP_LAG_S else "")
        return index


_COLUMNS = "SELECT id, oid, ref, at, record FROM plans"


def _write(index: Index, plans: Iterable[StoredPlan], gone: Iterable[str]) -> None:
    with index.connect() as connection, transaction(connection):
        connection.executemany("DELETE FROM plans WHERE ref = ?", [(ref,) for ref in gone])
        connection.executemany(
            "INSERT OR REPLACE INTO plans VALUES (?, ?, ?, ?, ?, ?)",
            [
                (p.plan_id, p.commit, p.ref, p.record.definition, p.at, p.record.model_dump_json())
                for p in plans
            ],
        )


def _listed(row: tuple[str, str, str, int, str]) -> StoredPlan:
    plan_id, oid, ref, at, record = row
    return StoredPlan(plan_id, oid, ref, at, SearchPlan.model_validate_json(record))
