"""Joins several FlashInfer-Trace datasets into one, in a new folder.

What two of them have alike is written once. Where they contradict each other nothing is written:
every contradiction is named with its files.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import BaseModel

from ..archive.export.names import FileNames, file_part, new_folder
from ..errors import DatasetError, RequestError
from ..schema.flashinfer_trace import (
    Definition,
    SafetensorsInput,
    Solution,
    Trace,
    Workload,
    definition_hash,
)
from .ranking import UNKNOWN_AUTHOR
from .trace_set import DEFINITIONS, SOLUTIONS, TRACES, WORKLOADS, TraceSet

MOST_NAMED = 5
M = TypeVar("M")


@dataclass(frozen=True)
class _OwnWorkload:
    """A workload and the definition that it is of."""

    definition: str
    workload: Workload


@dataclass(frozen=True)
class MergedDataset:
    """A dataset that was joined from others, and how much is in it.

    Args:
        repeated: traces that several of them had, written once.
        missing: tensor files that workloads name and no dataset has.
    """

    folder: Path
    definitions: int
    workloads: int
    solutions: int
    traces: int
    repeated: int
    missing: tuple[str, ...]


def merge(sets: Sequence[TraceSet], out: Path) -> MergedDataset:
    """Writes one dataset that holds everything of several.

    Args:
        out: a folder that does not exist yet, or is empty.

    Raises:
        DatasetError: when two of them contradict each other, or a file cannot be read.
        RequestError: when the folder is in use.
    """
    if not sets:
        raise RequestError("No dataset is named", remedy="Name the folders to join.")
    _require_readable(sets)
    definitions = _joined(_definitions(sets), _same_definition, "definition")
    solutions = _joined(_solutions(sets), _same, "solution")
    workloads = _joined(_workloads(sets), _same, "workload")
    tensors, missing = _tensor_files(sets)
    lines = list(dict.fromkeys(_trace_lines(sets)))
    new_folder(out)
    files, of_solutions = FileNames(), FileNames()
    names = {name: files.take(name) for name in definitions}
    for name, definition in definitions.items():
        _write_json(out / DEFINITIONS / _group(definition) / f"{names[name]}.json", definition)
        own = [w.workload for w in workloads.values() if w.definition == name]
        text = [Trace(definition=name, workload=w).model_dump_json() for w in own]
        _write_lines(out / WORKLOADS / _group(definition) / f"{names[name]}.jsonl", text)
    for solution in solutions.values():
        place = out / SOLUTIONS / file_part(solution.author) / _place(solution, definitions, names)
        _write_json(place / f"{of_solutions.take(solution.name)}.json", solution)
    _write_traces(out, lines, definitions, solutions, names)
    for path, source in tensors.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, out / path)
    repeated = sum(len(found.traces) for found in sets) - len(lines)
    counts = (len(definitions), len(workloads), len(solutions), len(lines))
    return MergedDataset(out, *counts, repeated, tuple(missing))


def _require_readable(sets: Sequence[TraceSet]) -> None:
    faults = [f"{found.root}/{problem}" for found in sets for problem in found.problems]
    if faults:
        more = f" and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise DatasetError(
            f"{len(faults)} files or lines cannot be read: {'; '.join(faults[:MOST_NAMED])}{more}",
            remedy="Correct them, or take them out: a joined dataset would lack them.",
        )


def _joined(
    found: Iterable[tuple[str, M, str]], same: Callable[[M, M], bool], word: str
) -> dict[str, M]:
    """The values by key.

    Raises:
        DatasetError: when two of a key differ.
    """
    kept: dict[str, tuple[M, str]] = {}
    faults: list[str] = []
    for key, value, place in found:
        if key not in kept:
            kept[key] = value, place
        elif not same(kept[key][0], value):
            faults.append(f"{key!r} in {kept[key][1]} and {place}")
    if faults:
        raise DatasetError(
            f"A {word} differs between datasets: {'; '.join(faults[:MOST_NAMED])}",
            remedy="Rename one of the two, or leave it out.",
        )
    return {key: value for key, (value, _) in kept.items()}


def _definitions(sets: Sequence[TraceSet]) -> Iterator[tuple[str, Definition, str]]:
    for found in sets:
        for placed in found.definitions:
            yield placed.value.name, placed.value, f"{found.root}/{placed.file}"


def _solutions(sets: Sequence[TraceSet]) -> Iterator[tuple[str, Solution, str]]:
    for found in sets:
        for placed in found.solutions:
            yield placed.value.name, placed.value, f"{found.root}/{placed.file}"


def _workloads(sets: Sequence[TraceSet]) -> Iterator[tuple[str, _OwnWorkload, str]]:
    for found in sets:
        for placed in found.workloads:
            trace = placed.value
            own = _OwnWorkload(trace.definition, trace.workload)
            place = f"{found.root}/{placed.file}:{placed.line}"
            yield f"{trace.definition}/{trace.workload.uuid}", own, place


def _same_definition(one: Definition, other: Definition) -> bool:
    same = definition_hash(one) == definition_hash(other)
    return same and one.op_type == other.op_type


def _same(one: object, other: object) -> bool:
    return one == other


def _trace_lines(sets: Sequence[TraceSet]) -> Iterator[str]:
    for found in sets:
        for placed in found.traces:
            yield placed.value.model_dump_json()


def _tensor_files(sets: Sequence[TraceSet]) -> tuple[dict[PurePosixPath, Path], list[str]]:
    """The files that workloads name, by their place in a dataset, and those that there are not.

    Raises:
        DatasetError: when two datasets have files of one place that differ.
    """
    sources: dict[PurePosixPath, Path] = {}
    missing: dict[str, None] = {}
    for found in sets:
        for name in dict.fromkeys(_named_files(found)):
            path = PurePosixPath(name)
            inside = not path.is_absolute() and ".." not in path.parts
            source = found.root / path
            if not inside or not source.is_file():
                missing[name] = None
            elif path not in sources:
                sources[path] = source
            elif not filecmp.cmp(sources[path], source, shallow=False):
                raise DatasetError(
                    f"A tensor file differs between datasets: {sources[path]} and {source}",
                    remedy="Rename one of the two, and the workloads that name it.",
                )
    return sources, [name for name in missing if PurePosixPath(name) not in sources]


def _named_files(found: TraceSet) -> Iterator[str]:
    for placed in found.workloads:
        for spec in placed.value.workload.inputs.values():
            if isinstance(spec, SafetensorsInput):
                yield spec.path


def _write_traces(
    out: Path,
    lines: Iterable[str],
    definitions: Mapping[str, Definition],
    solutions: Mapping[str, Solution],
    names: Mapping[str, str],
) -> None:
    by_file: dict[Path, list[str]] = {}
    for line in lines:
        trace = Trace.model_validate_json(line)
        solution = solutions.get(trace.solution or "")
        author = file_part(solution.author if solution else UNKNOWN_AUTHOR)
        place = out / TRACES / author / _place(trace, definitions, names)
        by_file.setdefault(place.with_name(f"{place.name}.jsonl"), []).append(line)
    for path, own in by_file.items():
        _write_lines(path, own)


def _place(
    of: Solution | Trace, definitions: Mapping[str, Definition], names: Mapping[str, str]
) -> PurePosixPath:
    """The folder of what belongs to a definition, below that of its kind and author."""
    definition = definitions.get(of.definition)
    group = _group(definition) if definition else "unknown"
    return PurePosixPath(group, names.get(of.definition) or file_part(of.definition))


def _group(definition: Definition) -> str:
    return file_part(definition.op_type)


def _write_json(path: Path, model: BaseModel) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(model.model_dump_json(indent=2, exclude_unset=True) + "\n", encoding="utf-8")


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    if lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
