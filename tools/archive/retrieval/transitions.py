"""What a technique did where it was introduced: ratios of a candidate to what it came from.

A technique belongs to the candidate that introduced it, not to all that inherited its tag. What it
came from is its nearest measured ancestors: one that failed, or was never run, is passed over, so a
program that was repaired is credited with what its broken parent tried. The ratio is to the fastest
of them on the same device and clock, over all workloads and for each regime that both have. Derived
into tables of the index as candidates come, and again when a parent is amended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...devices.noise_floor import LEAST_EFFECT_ACROSS_EVALUATIONS
from ..store.entry import CandidateStatus, Node
from ..store.index import Index, Reader, node_from_json, transaction

if TYPE_CHECKING:
    import sqlite3

FAILURE_MARK = "! "
"""Begins the name of what failed without introducing a technique: its failure's signature."""
MOST_LOG_RATIO = 0.5
_FAILURE = 0.25
"""What a failure weighs against an idea: most are of the code."""
_WHOLE = 0.5
"""Weight of a ratio over all workloads where a regime is asked for."""
_BOUND_UNKNOWN, _BOUND_OTHERWISE = 0.25, 0.1
"""Weights of parents whose bottleneck is not that of the parent at hand."""
ALL = ""
"""Stands for all workloads where a regime's name stands otherwise."""
_BATCH = 1_000
_FEW = 5
"""Fewer ratios than this are told by the least and the greatest: their spread is not known."""
_T_975 = (2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120)
"""Quantiles of Student's t at 0.975 for 4, 5, … degrees of freedom."""
_BEYOND = 2.11
"""Of more degrees of freedom than the table has: a little wide."""


@dataclass(frozen=True)
class Gain:
    """What a technique gained where it was measured: geometric mean ratio, above 1 is faster.

    Attributes:
        interval: 95 % of the mean over candidates; of fewer than five, from the least ratio to the
            greatest, and of a single one its noise floor.
        measured: candidates that it rests on.
    """

    ratio: float
    interval: tuple[float, float]
    measured: int


@dataclass(frozen=True)
class Sums:
    """Sums over some log ratios, of which a `Gain` follows."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    noise: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            self.noise + other.noise,
            min(self.least, other.least),
            max(self.greatest, other.greatest),
        )

    def gain(self) -> Gain | None:
        """The gain that they say; None without any."""
        if not self.count:
            return None
        mean, noise = self.total / self.count, self.noise / self.count
        if self.count < _FEW:
            low, high = self.least, self.greatest
            if self.count == 1:
                low, high = mean - noise, mean + noise
        else:
            degrees = self.count - 1
            variance = max(0.0, self.squares - self.count * mean * mean) / degrees
            place = degrees - _FEW + 1
            quantile = _T_975[place] if place < len(_T_975) else _BEYOND
            half = max(quantile * math.sqrt(variance), noise) / math.sqrt(self.count)
            low, high = mean - half, mean + half
        return Gain(math.exp(mean), (math.exp(low), math.exp(high)), self.count)


@dataclass(frozen=True)
class Ratio:
    """ln of how much faster a candidate is than its ancestor, in one regime or over all."""

    regime: str
    log_ratio: float
    noise: float

    @property
    def outcome(self) -> CandidateStatus:
        """What the ratio says beside its noise."""
        if abs(self.log_ratio) <= self.noise:
            return CandidateStatus.EQUAL
        return CandidateStatus.FASTER if self.log_ratio > 0 else CandidateStatus.SLOWER


def introduced(node: Node, ancestors: Sequence[Node]) -> list[str]:
    """The techniques of a candidate that none of its measured ancestors has."""
    inherited = {tag for ancestor in ancestors for tag in ancestor.technique}
    return [tag for tag in node.technique if tag not in inherited]


def ratios(node: Node, ancestors: Sequence[Node]) -> tuple[Node | None, list[Ratio]]:
    """The ancestor that a candidate is compared with, and the ratios; none where none can be."""
    if node.latency_us is None:
        return None, []
    place = node.hardware, node.definition, node.clock
    alike = [a for a in ancestors if (a.hardware, a.definition, a.clock) == place]
    if not alike:
        return None, []
    paired = next((a for a in alike if a.content_hash == node.baseline_hash), None)
    parent = paired or min(alike, key=lambda a: a.rank)
    floor = max(node.noise, parent.noise, LEAST_EFFECT_ACROSS_EVALUATIONS)
    noise = node.noise if paired else floor
    whole = (node.speedup if paired else None) or _quotient(parent.latency_us, node.latency_us)
    theirs = {fact.name: fact.latency_us for fact in parent.regimes}
    found = {ALL: whole} | {
        fact.name: (fact.ratio if paired else None)
        or _quotient(theirs.get(fact.name), fact.latency_us)
        for fact in node.regimes
    }
    return parent, [Ratio(name, math.log(r), noise) for name, r in found.items() if r]


def _quotient(before: float | None, after: float | None) -> float | None:
    return before / after if before and after else None


def refresh(index: Index) -> int:
    """Derives what follows from candidates that are new or have other parents; how many."""
    if not index.rows("SELECT 1 FROM underived LIMIT 1"):
        return 0
    with index.connect() as connection, transaction(connection):
        # What was never measured passes its own ancestors on to its children.
        connection.execute(
            "INSERT OR IGNORE INTO underived SELECT c.seq FROM candidates c JOIN ("
            " WITH RECURSIVE down(id) AS ("
            " SELECT c.id FROM underived u JOIN candidates c ON c.seq = u.seq"
            " WHERE c.latency_us IS NULL UNION"
            " SELECT e.child FROM down JOIN candidates c ON c.id = down.id"
            " JOIN edges e ON e.parent = down.id WHERE c.latency_us IS NULL)"
            " SELECT id FROM down) d ON d.id = c.id"
        )
    count = 0
    while True:
        with index.connect() as connection, transaction(connection):
            rows = connection.execute(
                "SELECT u.seq, c.facts FROM underived u LEFT JOIN candidates c ON c.seq = u.seq"
                f" LIMIT {_BATCH}"
            ).fetchall()
            if not rows:
                return count
            _derive(connection, {seq: node_from_json(facts) for seq, facts in rows if facts})
            connection.executemany("DELETE FROM underived WHERE seq = ?", [(r[0],) for r in rows])
        count += len(rows)


def _derive(connection: sqlite3.Connection, nodes: Mapping[int, Node]) -> None:
    """Writes what follows from some candidates in place of what is there."""
    known = {node.candidate_id: (seq, node) for seq, node in nodes.items()}
    for seq, node in nodes.items():
        above = [found for _, found in _measured_ancestors(connection, node, known)]
        for table in ("attempts", "transitions"):
            connection.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))
        new = introduced(node, above)
        if not new and node.outcome is CandidateStatus.FAILED:
            new = [f"{FAILURE_MARK}{node.error_signature}"]
        parent, found = ratios(node, above)
        at = known[parent.candidate_id][0] if parent else None
        whole = next((r for r in found if r.regime == ALL), None)
        measured = (whole.log_ratio, whole.noise) if whole else (None, None)
        outcome = node.outcome
        if whole and parent and parent.candidate_id not in node.parents:
            outcome = whole.outcome  # the record knows of no ancestor beyond a broken parent
        connection.executemany(
            "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(node.definition, tag, outcome, seq, at, *measured, len(new)) for tag in new],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO transitions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (node.definition, r.regime, tag, seq, at, r.log_ratio, r.noise, len(new))
                for tag in new
                for r in found
                if r.regime != ALL
            ],
        )


def _measured_ancestors(
    connection: sqlite3.Connection, node: Node, known: dict[str, tuple[int, Node]]
) -> list[tuple[int, Node]]:
    """The nearest ancestors that have a latency; what is read goes into `known`."""
    found: list[tuple[int, Node]] = []
    met, queue = {node.candidate_id}, list(node.parents)
    while queue:
        identity = queue.pop(0)
        if identity in met:
            continue
        met.add(identity)
        if identity not in known:
            row = connection.execute(
                "SELECT seq, facts FROM candidates WHERE id = ?", (identity,)
            ).fetchone()
            if row is None:
                continue
            known[identity] = row[0], node_from_json(row[1])
        entry = known[identity]
        if entry[1].latency_us is not None:
            found.append(entry)
        else:
            queue += entry[1].parents
    return found


def expected_gains(
    reader: Reader,
    weights: Mapping[str, float],
    *,
    regimes: Sequence[str] = (),
    bottlenecks: Sequence[str] = (),
) -> dict[str, float]:
    """What each technique is expected to gain, as ln of a ratio, for one operator and parent.

    The mean of all measured ratios, each weighed by how like its operator is and by whether its
    parent was bound alike, and drawn to zero as if one more had gained nothing: so a lucky trial
    does not outrank ten. Techniques that came together share what they gained. A failure counts as
    a part of one that gained nothing, and no ratio for more than `MOST_LOG_RATIO`: what beats a
    plain baseline many times says little of the next change.

    Args:
        weights: by operator, the one at hand first.
        regimes: of the operator at hand; what was gained over all workloads weighs less then.
        bottlenecks: of the parent at hand; without any, no parent weighs more than another.
    """
    marks = ",".join("?" * len(bottlenecks))
    bound = "SELECT seq FROM labels WHERE kind = 'bottleneck'"
    scale = (
        f"CASE WHEN parent IN ({bound} AND label IN ({marks})) THEN 1.0"
        f" WHEN parent IN ({bound}) THEN {_BOUND_OTHERWISE} ELSE {_BOUND_UNKNOWN} END"
        if bottlenecks
        else "1.0"
    )
    clipped = f"max(-{MOST_LOG_RATIO}, min({MOST_LOG_RATIO}, log_ratio)) / together"
    totals: dict[str, list[float]] = {}
    for place, (definition, weight) in enumerate(weights.items()):
        within = f"regime IN ({','.join('?' * len(regimes))})"
        sources = [("attempts", "1", [], _WHOLE if regimes else 1.0)]
        if regimes and not place:
            sources.append(("transitions", within, [*regimes], 1.0))
        rows: list[tuple[Any, ...]] = []
        for table, condition, values, share in sources:
            rows += reader.rows(
                f"SELECT technique, {share} * sum(w), {share} * sum(w * x)"
                f" FROM (SELECT technique, {scale} AS w, {clipped} AS x FROM {table}"
                f" WHERE definition = ? AND {condition} AND log_ratio IS NOT NULL) GROUP BY 1",
                [*bottlenecks, definition, *values],
            )
        rows += reader.rows(
            f"SELECT technique, {_FAILURE} * count(*), 0.0 FROM attempts"
            " WHERE definition = ? AND outcome = 'failed' GROUP BY 1",
            [definition],
        )
        for technique, count, total in rows:
            entry = totals.setdefault(technique, [1.0, 0.0])
            entry[0] += weight * count
            entry[1] += weight * total
    return {tag: total / count for tag, (count, total) in totals.items()}
