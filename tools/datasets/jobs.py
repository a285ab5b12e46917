"""What a run evaluates: each solution of a folder on its definition. Pure, but for reading files.

A folder is a FlashInfer-Trace dataset, or a folder of operators whose solutions, peers and
candidates lie beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import RequestError, unknown_name
from ..schema.flashinfer_trace import Solution
from ..workloads.dataset import Dataset
from ..workloads.operators import Operator


@dataclass(frozen=True)
class Job:
    """One solution to evaluate on its definition."""

    operator: Operator
    solution: Solution


@dataclass(frozen=True)
class Chosen:
    """Which definitions and solutions of a folder are run; all where nothing is named.

    Args:
        definitions, solutions, authors, op_types: names, exactly.
    """

    definitions: Sequence[str] = ()
    solutions: Sequence[str] = ()
    authors: Sequence[str] = ()
    op_types: Sequence[str] = ()


def jobs_by_folder(datasets: Mapping[Path, Dataset], chosen: Chosen) -> dict[Path, list[Job]]:
    """The jobs of each folder, by definition and in the order of its files; the baseline first.

    Args:
        datasets: by folder, the dataset that it was read into.

    Raises:
        RequestError: when a name is none of the folders', or nothing is left to run.
    """
    operators = {
        folder: [o for o in dataset.operators.values() if _lies_in(o, folder)]
        for folder, dataset in datasets.items()
    }
    known = {(f, o.name): [*_solutions(o)] for f, own in operators.items() for o in own}
    every = [s for solutions in known.values() for s in solutions]
    place = ", ".join(map(str, datasets))
    for word, names, there in (
        ("definition", chosen.definitions, {name for _, name in known}),
        ("solution", chosen.solutions, {s.name for s in every}),
        ("author", chosen.authors, {s.author for s in every}),
        ("op_type", chosen.op_types, {o.definition.op_type for o in sum(operators.values(), [])}),
    ):
        for name in names:
            if name not in there:
                raise unknown_name(f"{word} of {place}", name, sorted(there))
    jobs = {
        folder: [
            Job(operator, solution)
            for operator in own
            if not chosen.definitions or operator.name in chosen.definitions
            if not chosen.op_types or operator.definition.op_type in chosen.op_types
            for solution in known[folder, operator.name]
            if not chosen.solutions or solution.name in chosen.solutions
            if not chosen.authors or solution.author in chosen.authors
        ]
        for folder, own in operators.items()
    }
    if not any(jobs.values()):
        raise RequestError(
            "There is no solution to run" if known else "There is no definition",
            where=place,
            remedy="Solutions lie in solutions/<author>/<op_type>/<definition>/*.json, or beside "
            "an operator in solutions/, peers/ or candidates/.",
        )
    return {folder: own for folder, own in jobs.items() if own}


def _lies_in(operator: Operator, folder: Path) -> bool:
    of_dataset = operator.root is not None and operator.root.resolve() == folder.resolve()
    beside = operator.folder is not None and operator.folder.parent.resolve() == folder.resolve()
    return of_dataset or beside


def _solutions(operator: Operator) -> Iterator[Solution]:
    """The solutions of an operator, each content once; what others are compared with first."""
    found = list(operator.dataset_solutions)
    if operator.root is None:
        for kind in (operator.solutions, operator.peers, operator.candidates):
            found += kind().values()
    baseline = operator.baseline()
    first = baseline.content_hash() if baseline else ""
    seen: set[tuple[str, str]] = set()
    for solution in sorted(found, key=lambda s: s.content_hash() != first):
        key = (solution.name, solution.content_hash())
        if key not in seen:
            seen.add(key)
            yield solution


class JobQueue:
    """Hands jobs out to devices: those of one definition to one device, while others are left.

    So that the definition's reference is timed once, and its solutions beside each other.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._left: dict[str, list[Job]] = {}
        for job in jobs:
            self._left.setdefault(job.operator.name, []).append(job)
        self._at: dict[str, str] = {}

    def next(self, device: str) -> Job | None:
        """The next job of a device; None when none is left."""
        left = [name for name, jobs in self._left.items() if jobs]
        if not left:
            return None
        own = self._at.get(device)
        taken = {name for other, name in self._at.items() if other != device}
        free = [name for name in left if name not in taken]
        name = own if own in left else (free or left)[0]
        self._at[device] = name
        return self._left[name].pop(0)
