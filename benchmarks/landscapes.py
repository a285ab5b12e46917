"""What a search finds when it expands a candidate, made up or taken from recorded searches.

Each was fixed before any policy was run on it. An attempt either fails or has a latency; one that
failed holds what it would have been, and an attempt to fix it finds that with the landscape's odds.
How clever the agents are, and how many, is not modelled: every policy gets its attempts from here.
"""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from kernel_harness.tools.archive.search.parent_selection import read_tree
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.transfer import fetch
from kernel_harness.tools.signing.keyring import Keyring

ROOT_LATENCY = 10.0
"""Of the reference, on made-up landscapes, where the fastest program takes about 1."""
NEAREST = 6
"""Recorded changes, of parents as fast as this one, among which a change is drawn."""
FEWEST_CHANGES = 10


@dataclass(frozen=True)
class Attempt:
    """A program: how fast it is, or would be once it works, and how fast its idea can become."""

    latency: float
    floor: float
    works: bool = True


@dataclass(frozen=True)
class Odds:
    """How often an attempt fails, and how often an attempt to fix one succeeds."""

    fails: float = 0.3
    fixed: float = 0.5


@dataclass(frozen=True)
class Landscape:
    """A search space; this one is a slope: one idea, each step a little better or worse."""

    name: str
    odds: Odds = Odds()
    root: float = ROOT_LATENCY
    floor: float = 1.0

    def begin(self, rng: random.Random) -> Attempt:
        """An attempt from the reference."""
        return self._tried(self._first(rng), rng)

    def expand(self, parent: Attempt, rng: random.Random) -> Attempt:
        """An attempt from a program, or to fix it."""
        if not parent.works:
            return replace(parent, works=rng.random() < self.odds.fixed)
        return self._tried(self._next(parent, rng), rng)

    def _tried(self, attempt: Attempt, rng: random.Random) -> Attempt:
        return replace(attempt, works=rng.random() >= self.odds.fails)

    def _first(self, rng: random.Random) -> Attempt:
        return Attempt(self.root * math.exp(rng.gauss(-0.3, 0.4)), self.floor)

    def _next(self, parent: Attempt, rng: random.Random) -> Attempt:
        latency = parent.latency * math.exp(rng.gauss(-0.05, 0.15))
        return replace(parent, latency=max(latency, parent.floor))


class Basins(Landscape):
    """Six ideas, of which those that end fastest are tried seldom and begin slower."""

    FLOORS = (1.0, 1.4, 2.0, 2.8, 4.0, 5.0)
    SHARES = (1, 2, 4, 8, 8, 8)

    def _first(self, rng: random.Random) -> Attempt:
        (floor,) = rng.choices(self.FLOORS, self.SHARES)
        begins = self.root * math.exp(0.3 - 0.1 * self.FLOORS.index(floor) + rng.gauss(0, 0.1))
        return Attempt(begins, floor)

    def _next(self, parent: Attempt, rng: random.Random) -> Attempt:
        left = math.log(parent.latency / parent.floor)
        closed = rng.uniform(0, 0.4) if rng.random() < 0.6 else rng.uniform(-0.2, 0)
        return replace(parent, latency=parent.floor * math.exp(left * (1 - closed)))


class Needles(Landscape):
    """Nearly every change is neutral; a rare one is a leap."""

    def _first(self, rng: random.Random) -> Attempt:
        return Attempt(self.root * math.exp(rng.gauss(0, 0.05)), self.floor)

    def _next(self, parent: Attempt, rng: random.Random) -> Attempt:
        ratio = 0.6 if rng.random() < 0.06 else math.exp(rng.gauss(0, 0.02))
        return replace(parent, latency=max(parent.latency * ratio, parent.floor))


@dataclass(frozen=True)
class Recorded(Landscape):
    """A recorded search: a change does to the latency what a recorded one did, of as fast a parent.

    Nothing gets faster than what was recorded. Failures are hardly recorded: their odds are ours.
    """

    changes: Sequence[tuple[float, float]] = ()

    def _first(self, rng: random.Random) -> Attempt:
        return Attempt(self.root * math.exp(rng.gauss(0, 0.1)), self.floor)

    def _next(self, parent: Attempt, rng: random.Random) -> Attempt:
        def apart(change: tuple[float, float]) -> float:
            return abs(math.log(change[0] / parent.latency))

        before, after = rng.choice(sorted(self.changes, key=apart)[:NEAREST])
        return replace(parent, latency=max(parent.latency * after / before, parent.floor))


def made_up() -> list[Landscape]:
    """The made-up landscapes."""
    return [
        Landscape("slope"),
        Landscape("brittle slope", Odds(fails=0.7, fixed=0.3)),
        Basins("basins"),
        Basins("brittle basins", Odds(fails=0.6, fixed=0.4)),
        Needles("needles"),
    ]


def recorded(kernels: Path) -> list[Landscape]:
    """A landscape of every shipped search that has enough timed changes."""
    found: list[Landscape] = []
    for bundle in sorted(kernels.glob("*/history.bundle")):
        with tempfile.TemporaryDirectory() as folder:
            shipped = Path(str(files("kernel_harness.tools.signing"))) / "shipped_keys.txt"
            keys = Keyring(Path(folder) / "key", Path(folder), (), shipped)
            archive = Archive(Path(folder), keys)
            fetch(archive, str(bundle.resolve()))
            found += _of_search(archive)
            archive.close()
    return found


def _of_search(archive: Archive) -> list[Landscape]:
    found: list[Landscape] = []
    for definition in archive.definitions():
        nodes = read_tree(archive, definition, "H200", grid=False)
        times = {n.candidate_id: n.latency_us for n in nodes if n.latency_us is not None}
        changes = [
            (times[parent], times[node.candidate_id])
            for node in nodes
            for parent in node.parents
            if parent in times and node.candidate_id in times
        ]
        if len(changes) >= FEWEST_CHANGES:
            first = next(iter(times.values()))
            name = "_".join(definition.split("_")[:2]) + f" ({len(changes)} changes)"
            floor = min(times.values())
            found.append(Recorded(name, root=first, floor=floor, changes=changes))
    return found
