"""A FlashInfer-Trace folder as it lies on disk: every file of it, and what could not be read.

A file counts by the fields in it, wherever it lies, as FlashInfer-Bench reads it. Nothing is run,
and no tensor is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import DatasetError
from ..schema.flashinfer_trace import Definition, Solution, Trace, Workload
from ..workloads.dataset_problem import DatasetProblem, refused
from ..workloads.operators import BASELINE_AUTHOR

DEFINITIONS, WORKLOADS, SOLUTIONS, TRACES = "definitions", "workloads", "solutions", "traces"
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class FileEntry(Generic[M]):
    """What a file, or a line of it, holds.

    Args:
        file: from the folder's root, with '/' on every system.
    """

    value: M
    file: str
    line: int | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders that the file lies in, below the one of its kind."""
        return tuple(self.file.split("/")[1:-1])

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return self.file.rsplit("/", 1)[-1].rsplit(".", 1)[0]


@dataclass(frozen=True)
class TraceSet:
    """Everything of a FlashInfer-Trace folder that can be read.

    Args:
        problems: what cannot be read, each with its file from the root.
    """

    root: Path
    definitions: tuple[FileEntry[Definition], ...]
    workloads: tuple[FileEntry[Trace], ...] = ()
    solutions: tuple[FileEntry[Solution], ...] = ()
    traces: tuple[FileEntry[Trace], ...] = ()
    problems: tuple[DatasetProblem, ...] = field(default=(), compare=False)

    @property
    def by_name(self) -> dict[str, Definition]:
        """The definitions by name; of two of a name the first."""
        found: dict[str, Definition] = {}
        for placed in self.definitions:
            found.setdefault(placed.value.name, placed.value)
        return found

    @property
    def solutions_by_name(self) -> dict[str, Solution]:
        """The solutions by name; of two of a name the first."""
        found: dict[str, Solution] = {}
        for placed in self.solutions:
            found.setdefault(placed.value.name, placed.value)
        return found

    def workloads_of(self, definition: str) -> list[Workload]:
        """The workloads of a definition, in the order of their lines."""
        return [p.value.workload for p in self.workloads if p.value.definition == definition]

    def traces_of(self, definition: str) -> list[Trace]:
        """The traces of a definition, in the order of their lines."""
        return [p.value for p in self.traces if p.value.definition == definition]

    def baseline_of(self, definition: str) -> Solution | None:
        """The one solution whose author is 'baseline'; None where there is none, or several."""
        found = [
            s
            for s in self.solutions_by_name.values()
            if s.definition == definition and s.author == BASELINE_AUTHOR
        ]
        return found[0] if len(found) == 1 else None


def read_trace_set(root: Path) -> TraceSet:
    """Reads a folder in FlashInfer-Trace's layout.

    Raises:
        DatasetError: when there is no such folder, or no definition in it.
    """
    if not (root / DEFINITIONS).is_dir():
        raise DatasetError(
            "There is no FlashInfer-Trace dataset",
            where=str(root),
            remedy="Name a folder that holds definitions/<op_type>/<name>.json.",
        )
    problems: list[DatasetProblem] = []
    found = TraceSet(
        root,
        tuple(_files(root, DEFINITIONS, Definition, problems)),
        tuple(_lines(root, WORKLOADS, problems)),
        tuple(_files(root, SOLUTIONS, Solution, problems)),
        tuple(_lines(root, TRACES, problems)),
        tuple(problems),
    )
    if not found.definitions and not problems:
        raise DatasetError(
            "The dataset holds no definition",
            where=str(root / DEFINITIONS),
            remedy="Expected definitions/<op_type>/<name>.json.",
        )
    return found


def _files(
    root: Path, kind: str, model: type[M], problems: list[DatasetProblem]
) -> Iterator[FileEntry[M]]:
    for path in sorted((root / kind).rglob("*.json")):
        name = path.relative_to(root).as_posix()
        try:
            yield FileEntry(model.model_validate_json(path.read_bytes()), name)
        except (ValidationError, OSError) as error:
            problems += refused(name, None, error)


def _lines(root: Path, kind: str, problems: list[DatasetProblem]) -> Iterator[FileEntry[Trace]]:
    for path in sorted((root / kind).rglob("*.jsonl")):
        name = path.relative_to(root).as_posix()
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            problems += refused(name, None, error)
            continue
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield FileEntry(Trace.model_validate_json(line), name, number)
            except ValidationError as error:
                problems += refused(name, number, error)


def joined(sets: Sequence[TraceSet]) -> TraceSet:
    """Several datasets as one, in their order, with nothing compared.

    Args:
        sets: at least one.
    """
    return TraceSet(
        sets[0].root,
        tuple(p for found in sets for p in found.definitions),
        tuple(p for found in sets for p in found.workloads),
        tuple(p for found in sets for p in found.solutions),
        tuple(p for found in sets for p in found.traces),
        tuple(p for found in sets for p in found.problems),
    )
