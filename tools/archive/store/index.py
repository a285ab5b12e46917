"""The derived index: one row per candidate, its words in FTS5, rebuilt from git alone.

Knows no policy. It may be deleted at any time; the next question rebuilds it. Several processes
share the file: writes are short transactions, and a candidate that another process archived is
found by comparing ref names, not by reading commits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...schema.measurement import TimeSource
from .connections import Connections
from .entry import CandidateStatus, Node, RegimeFact

if TYPE_CHECKING:
    import sqlite3

INDEX_VERSION = 17
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS candidates (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ref TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL, op_type TEXT, hardware TEXT, scope TEXT, status TEXT, outcome TEXT,
    latency_us REAL, clock TEXT, noise REAL, at INTEGER, evaluation_id TEXT, content_hash TEXT,
    normalised_hash TEXT, language TEXT, error_signature TEXT, parents TEXT NOT NULL,
    facts TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_definition ON candidates (definition, at);
CREATE INDEX IF NOT EXISTS tree_of ON candidates (
    definition, at, id, outcome, latency_us, hardware, clock, parents);
CREATE INDEX IF NOT EXISTS by_latency ON candidates (definition, hardware, status, latency_us);
CREATE INDEX IF NOT EXISTS by_evaluation ON candidates (evaluation_id);
CREATE INDEX IF NOT EXISTS by_content ON candidates (content_hash);
CREATE INDEX IF NOT EXISTS by_normalised ON candidates (normalised_hash);
CREATE INDEX IF NOT EXISTS by_op_type ON candidates (op_type, definition);
CREATE INDEX IF NOT EXISTS by_outcome ON candidates (definition, outcome, at);
CREATE TABLE IF NOT EXISTS amendments (ref TEXT PRIMARY KEY, seq INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS amendments_of ON amendments (seq);
CREATE TABLE IF NOT EXISTS edges (
    child TEXT, parent TEXT, PRIMARY KEY (child, parent)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_parent ON edges (parent);
CREATE TABLE IF NOT EXISTS labels (
    kind TEXT, label TEXT, seq INTEGER, PRIMARY KEY (kind, label, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labels_of ON labels (seq);
CREATE TABLE IF NOT EXISTS plans (
    id TEXT PRIMARY KEY, oid TEXT, ref TEXT, definition TEXT, at INTEGER, record TEXT);
CREATE INDEX IF NOT EXISTS plans_of ON plans (definition, at);
CREATE TABLE IF NOT EXISTS regimes (
    seq INTEGER, name TEXT, latency_us REAL, ratio REAL, decision TEXT,
    PRIMARY KEY (seq, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_regime ON regimes (name, seq);
CREATE TABLE IF NOT EXISTS underived (seq INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS attempts (
    definition TEXT, technique TEXT, outcome TEXT, seq INTEGER, parent INTEGER, log_ratio REAL,
    noise REAL, together INTEGER, PRIMARY KEY (definition, technique, outcome, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (seq);
CREATE TABLE IF NOT EXISTS transitions (
    definition TEXT, regime TEXT, technique TEXT, seq INTEGER, parent INTEGER, log_ratio REAL,
    noise REAL, together INTEGER, PRIMARY KEY (definition, regime, technique, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS transitions_of ON transitions (seq);
CREATE TABLE IF NOT EXISTS trials (
    name TEXT NOT NULL, ref TEXT PRIMARY KEY, oid TEXT, definition TEXT, content_hash TEXT,
    hardware TEXT, scope TEXT, status TEXT, latency_us REAL, started_from TEXT, at INTEGER,
    state TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS trials_by_state ON trials (state, definition);
CREATE INDEX IF NOT EXISTS trials_by_name ON trials (name);
CREATE INDEX IF NOT EXISTS trials_by_content ON trials (content_hash);
CREATE TRIGGER IF NOT EXISTS new_candidate AFTER INSERT ON candidates
    WHEN NEW.status <> 'UNVERIFIED' BEGIN UPDATE trials SET state = 'archived'
    WHERE content_hash = NEW.content_hash AND state = 'open'; END;
CREATE TRIGGER IF NOT EXISTS gone_candidate AFTER DELETE ON candidates BEGIN
    UPDATE trials SET state = 'open' WHERE content_hash = OLD.content_hash AND state = 'archived'
    AND NOT EXISTS (SELECT 1 FROM candidates
    WHERE content_hash = OLD.content_hash AND status <> 'UNVERIFIED'); END;
CREATE TRIGGER IF NOT EXISTS new_trial AFTER INSERT ON trials WHEN NEW.state = 'open'
    AND EXISTS (SELECT 1 FROM candidates
    WHERE content_hash = NEW.content_hash AND status <> 'UNVERIFIED')
    BEGIN UPDATE trials SET state = 'archived' WHERE ref = NEW.ref; END;
CREATE TABLE IF NOT EXISTS trial_folders (folder TEXT PRIMARY KEY, stamp TEXT) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    name, technique, hypothesis, lesson, failure, operator, tokenize = "porter unicode61");
CREATE TABLE IF NOT EXISTS note_files (path TEXT PRIMARY KEY, stamp TEXT) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS notes USING fts5 (
    path UNINDEXED, heading, body, tokenize = "porter unicode61");
"""
SEALED_FIRST = f"clock <> '{TimeSource.SEALED}'"
"""SQL to order by: candidates whose latency is sealed before all others."""
_TABLES = (
    *("trials", "trial_folders"),
    *("meta", "candidates", "amendments", "edges", "labels", "regimes", "words"),
    *("plans", "underived", "attempts", "transitions", "note_files", "notes"),
)
_OF_CANDIDATES = ("labels", "regimes", "amendments", "underived", "attempts", "transitions")
"""Tables whose rows belong to a candidate, by its number."""


class Reader:
    """Questions on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one read-only query."""
        return self._connection.execute(query, values).fetchall()

    def keep(self, name: str, query: str, values: Sequence[Any] = ()) -> None:
        """Keeps the numbers that a query gives in a table of this connection, as `seq`."""
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._connection.execute(f"CREATE TEMP TABLE {name} (seq INTEGER PRIMARY KEY)")
        self._connection.execute(f"INSERT INTO {name} {query}", values)


class Index:
    """The SQLite index of candidates: its writes and queries."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections = Connections(path, _prepare)

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """A connection in autocommit mode, its schema in place; a damaged file is thrown away."""
        import sqlite3

        with ExitStack() as held:
            try:
                connection = held.enter_context(self._connections.lend())
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                    raise
                self.delete()
                connection = held.enter_context(self._connections.lend())
            yield connection

    def close(self) -> None:
        """Closes the connections that are kept."""
        self._connections.close()

    def delete(self) -> None:
        """Removes the index; the next question rebuilds it from git."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    # --- writing ------------------------------------------------------------------------------

    def add(
        self,
        nodes: Iterable[Node],
        amendments: Mapping[str, Iterable[str]] | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Adds candidates in one transaction.

        Args:
            amendments: by candidate id, the refs of those that the nodes were read with.
            replace: those already there are replaced; otherwise they stay as they are.
        """
        with self.connect() as connection, transaction(connection):
            for node in nodes:
                if replace:
                    _delete(connection, node.ref)
                _insert(connection, node, (amendments or {}).get(node.candidate_id, ()))

    def remove(self, refs: Iterable[str]) -> None:
        """Deletes candidates whose refs are gone from git."""
        with self.connect() as connection, transaction(connection):
            for ref in refs:
                _delete(connection, ref)

    def amendments(self, first: str = "", end: str = "~") -> set[str]:
        """The refs of the amendments that rows were read with, of a range of names."""
        query = "SELECT ref FROM amendments WHERE ref >= ? AND ref < ?"
        return {row[0] for row in self.rows(query, (first, end))}

    def remember(self, key: str, value: str) -> None:
        """Stores one fact about the index itself."""
        with self.connect() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def recall(self, key: str) -> str:
        """Reads a fact about the index itself; empty when it was never stored."""
        with self.connect() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else ""

    # --- reading ------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """One connection for several questions."""
        with self.connect() as connection:
            yield Reader(connection)

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one read-only query."""
        with self.reading() as reader:
            return reader.rows(query, values)

    def refs(self, among: Sequence[str] | None = None) -> set[str]:
        """The refs of all candidates in the index, or those of some names."""
        if among is None:
            return {row[0] for row in self.rows("SELECT ref FROM candidates")}
        names = json.dumps(list(among))
        query = "SELECT ref FROM candidates WHERE ref IN (SELECT value FROM json_each(?))"
        return {row[0] for row in self.rows(query, (names,))}

    def count(self) -> int:
        """How many candidates the index has."""
        return self.rows("SELECT COUNT(*) FROM candidates")[0][0]

    def nodes(self, where: str = "1", values: Sequence[Any] = (), tail: str = "") -> list[Node]:
        """Nodes that fulfil an SQL condition on `candidates`, e.g. "definition = ?"."""
        found = self.rows(f"SELECT facts FROM candidates WHERE {where} {tail}", values)
        return [node_from_json(row[0]) for row in found]

    def newest(self, definition: str, limit: int) -> list[Node]:
        """The newest candidates of one operator, oldest first."""
        tail = f"ORDER BY at DESC, seq DESC LIMIT {int(limit)}"
        return self.nodes("definition = ?", [definition], tail)[::-1]

    def spent(self, definition: str) -> tuple[int, float]:
        """How many candidates an operator has, and the seconds that their evaluations took."""
        seconds = "SUM(json_extract(facts, '$.seconds'))"
        query = f"SELECT COUNT(*), {seconds} FROM candidates WHERE definition = ?"
        ((count, total),) = self.rows(query, [definition])
        return count, total or 0.0

    def by_id(self, ids: Iterable[str]) -> dict[str, Node]:
        """Nodes by candidate id; unknown ids are left out."""
        distinct = list(dict.fromkeys(ids))
        found: dict[str, Node] = {}
        for start in range(0, len(distinct), 500):
            part = distinct[start : start + 500]
            marks = ",".join("?" * len(part))
            found |= {n.candidate_id: n for n in self.nodes(f"id IN ({marks})", part)}
        return found

    def with_prefix(self, prefix: str, limit: int = 6) -> list[str]:
        """Candidate ids that begin with a hexadecimal prefix."""
        top = prefix + "g"
        found = self.rows(
            "SELECT id FROM candidates WHERE id >= ? AND id < ? LIMIT ?", (prefix, top, limit)
        )
        return [row[0] for row in found]

    def children(self, candidate_id: str) -> list[str]:
        """Ids of the candidates derived from this one, in the order they were archived."""
        found = self.rows(
            "SELECT c.id FROM edges e JOIN candidates c ON c.id = e.child"
            " WHERE e.parent = ? ORDER BY c.at, c.seq",
            (candidate_id,),
        )
        return [row[0] for row in found]


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != INDEX_VERSION:
        connection.execute("PRAGMA journal_mode=WAL")
        with transaction(connection):
            _make_tables(connection)
    # What a power cut takes is read from git again; damaged the file cannot be.
    connection.execute("PRAGMA synchronous=NORMAL")


def _make_tables(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == INDEX_VERSION:  # another process made them meanwhile
        return
    if version:
        for table in _TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
    for statement in filter(str.strip, _SCHEMA.split(";\n")):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={INDEX_VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction; waits for other writers."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def node_from_json(text: str) -> Node:
    """Reads the facts of one row."""
    facts = json.loads(text)
    facts["outcome"] = CandidateStatus(facts["outcome"])
    facts["regimes"] = tuple(RegimeFact(**fact) for fact in facts["regimes"])
    for name in ("parents", "technique", "bottlenecks", "notes"):
        facts[name] = tuple(facts[name])
    return Node(**facts)


def _delete(connection: sqlite3.Connection, ref: str) -> None:
    row = connection.execute("SELECT seq, id FROM candidates WHERE ref = ?", (ref,)).fetchone()
    if row is None:
        return
    _underive_children(connection, row[1])
    for table in (*_OF_CANDIDATES, "candidates"):
        connection.execute(f"DELETE FROM {table} WHERE seq = ?", (row[0],))
    connection.execute("DELETE FROM words WHERE rowid = ?", (row[0],))
    connection.execute("DELETE FROM edges WHERE child = ?", (row[1],))


def _insert(connection: sqlite3.Connection, node: Node, amendments: Iterable[str]) -> None:
    row = _row(node)
    cursor = connection.execute(
        f"INSERT OR IGNORE INTO candidates ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )
    if not cursor.rowcount:
        return
    seq = cursor.lastrowid
    connection.execute("INSERT OR IGNORE INTO underived VALUES (?)", (seq,))
    _underive_children(connection, node.candidate_id)
    for parent in node.parents:
        connection.execute("INSERT OR IGNORE INTO edges VALUES (?, ?)", (node.candidate_id, parent))
    connection.executemany(
        "INSERT OR REPLACE INTO amendments VALUES (?, ?)", [(ref, seq) for ref in amendments]
    )
    connection.executemany(
        "INSERT OR IGNORE INTO labels VALUES (?, ?, ?)", [(*label, seq) for label in _labels(node)]
    )
    connection.executemany(
        "INSERT OR IGNORE INTO regimes VALUES (?, ?, ?, ?, ?)",
        [(seq, fact.name, fact.latency_us, fact.ratio, fact.decision) for fact in node.regimes],
    )
    connection.execute(
        "INSERT INTO words (rowid, name, technique, hypothesis, lesson, failure, operator)"
        " VALUES (?,?,?,?,?,?,?)",
        (
            seq,
            node.name,
            " ".join(node.technique),
            node.hypothesis,
            " ".join([node.lesson, *node.notes]),
            f"{node.error_signature} {node.failure}",
            f"{node.definition} {node.op_type} {' '.join(node.bottlenecks)}".replace("_", " "),
        ),
    )


def _row(node: Node) -> dict[str, object]:
    """A candidate's row, by column."""
    return {
        "id": node.candidate_id,
        "ref": node.ref,
        "definition": node.definition,
        "op_type": node.op_type,
        "hardware": node.hardware,
        "scope": node.scope,
        "status": node.status,
        "outcome": str(node.outcome),
        "latency_us": node.latency_us,
        "clock": node.clock,
        "noise": node.noise,
        "at": node.at,
        "evaluation_id": node.evaluation_id,
        "content_hash": node.content_hash,
        "normalised_hash": node.normalised_hash,
        "language": node.language,
        "error_signature": node.error_signature,
        "parents": " ".join(node.parents),
        "facts": json.dumps(asdict(node), separators=(",", ":")),
    }


def _labels(node: Node) -> list[tuple[str, str]]:
    """What candidates are filtered by: kind and label, in lower case."""
    labels = [("technique", tag) for tag in node.technique]
    labels += [("bottleneck", name) for name in node.bottlenecks]
    said = {kind: getattr(node, kind) for kind in ("plan", "client", "model", "session")}
    return labels + [(kind, label.lower()) for kind, label in said.items() if label]


def _underive_children(connection: sqlite3.Connection, candidate_id: str) -> None:
    """Has what follows from a candidate's children derived again: their parent is another now."""
    connection.execute(
        "INSERT OR IGNORE INTO underived SELECT c.seq FROM edges e JOIN candidates c"
        " ON c.id = e.child WHERE e.parent = ?",
        (candidate_id,),
    )
