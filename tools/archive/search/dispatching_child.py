"""A child of several candidates that chooses between them on the host, by the size of one axis.

It is a first draft with its parents' code unchanged in files of their own, to be judged like any
other: the choice costs host time, and compiling both costs the first call. Parents must be Python
and called alike; between programs in CUDA C++ a person or an agent has to write the choice.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from ...errors import RequestError
from ...schema.flashinfer_trace import Definition, Language, Solution
from ...text import one_line
from ..store.archive import Archive
from ..store.entry import Node, number
from .record_holders import VirtualBest, candidate_times, virtual_best

CALLABLE = (Language.PYTHON, Language.TRITON)
MOST_PARENTS = 3
ENTRY_FILE = "main.py"
_UNSAFE_IN_DOCSTRING = re.compile(r"[^ -~]|[\\\"]")


def records_of(
    archive: Archive, definition: str, gpu: str | None = None, most: int | None = None
) -> VirtualBest:
    """The record holders among an operator's candidates on one device.

    Args:
        gpu: as `best` names it; the one timed most recently when None.
        most: candidates that may share the records.

    Raises:
        RequestError: when nothing was timed there.
    """
    best = archive.best(definition, gpu)
    if best is None:
        raise RequestError(
            f"No candidate of {definition} was timed" + (f" on {gpu}" if gpu else ""),
            remedy="Evaluate some on a GPU with scope 'sample' or 'full', and archive them.",
        )
    ranked = [n for n in archive.iter(definition) if n.hardware == best.hardware and n.latency_us]
    times = (candidate_times(node, archive.read(node).evaluation) for node in ranked)
    found = virtual_best([t for t in times if t is not None], most)
    if found is None:
        raise RequestError(
            f"No candidate of {definition} was timed on every workload of a sample",
            remedy="Evaluate some on a GPU with scope 'sample' or 'full', and archive them.",
        )
    return found


def dispatching_child(archive: Archive, definition: Definition, found: VirtualBest) -> Solution:
    """A solution that calls the holder of each size.

    Raises:
        RequestError: when one candidate holds every record, or the holders cannot be called alike.
    """
    holders = found.holders
    if len(holders) < 2:
        raise RequestError(
            f"{found.best.name} ({found.best.candidate_id}) is the fastest at every size that was"
            f" timed, or as good as it: a choice by {found.axis} would gain nothing",
            remedy="Look for another program that is faster at some sizes.",
        )
    solutions = {node.candidate_id: archive.read(node).solution() for node in holders}
    _require_callable(found, solutions)
    modules = {node.candidate_id: f"part_{n}" for n, node in enumerate(holders, 1)}
    sources = [
        {"path": ENTRY_FILE, "content": _entry(definition, found, solutions, modules)},
        *(
            {"path": _placed(solutions[name], path, modules[name]), "content": text}
            for name in modules
            for path, text in _files(solutions[name]).items()
        ),
    ]
    specs = [solutions[node.candidate_id].spec for node in holders]
    triton = any(spec.language is Language.TRITON for spec in specs)
    return Solution.model_validate(
        {
            "name": "dispatching",
            "definition": definition.name,
            "author": "kernel-harness",
            "spec": {
                "language": Language.TRITON if triton else Language.PYTHON,
                "target_hardware": specs[0].target_hardware,
                "entry_point": f"{ENTRY_FILE}::run",
                "destination_passing_style": specs[0].destination_passing_style,
                "dependencies": sorted({name for spec in specs for name in spec.dependencies}),
            },
            "sources": sources,
            "description": f"Chooses by {found.axis} between {_named(holders)}.",
        }
    )


def _named(holders: Sequence[Node]) -> str:
    return ", ".join(f"{one_line(node.name, 60)} ({node.candidate_id})" for node in holders)


def _require_callable(found: VirtualBest, solutions: Mapping[str, Solution]) -> None:
    holders = found.holders
    specs = {node.candidate_id: solutions[node.candidate_id].spec for node in holders}
    bands = "; ".join(
        f"{band.holder.candidate_id} at a {found.axis} of {band.words}" for band in found.bands
    )
    by_hand = f"Write the choice by hand, in a workspace opened from one of the holders: {bands}."
    for node in holders:
        language = specs[node.candidate_id].language
        if language not in CALLABLE:
            raise RequestError(
                f"{node.name} ({node.candidate_id}), a record holder, is written in {language},"
                " which the choice, being Python, cannot call",
                remedy=by_hand,
            )
    for name, solution in solutions.items():
        parts = (*_module(solution, "part").split("."), solution.entry_function)
        if not all(map(_is_name, parts)):
            raise RequestError(
                f"Python cannot import {specs[name].entry_point!r}, the entry of {name}",
                remedy=by_hand,
            )
    if len({spec.destination_passing_style for spec in specs.values()}) > 1:
        raise RequestError(
            f"Of {_named(holders)} some fill their outputs and some return them", remedy=by_hand
        )


def _files(solution: Solution) -> Mapping[str, str]:
    return {source.path: source.content for source in solution.sources}


def _placed(solution: Solution, path: str, module: str) -> str:
    """A parent's only file beside the entry; several in a folder, where they find each other."""
    return f"{module}.py" if len(solution.sources) == 1 else f"{module}/{path}"


def _module(solution: Solution, module: str) -> str:
    if len(solution.sources) == 1:
        return module
    parts = PurePosixPath(solution.entry_file).with_suffix("").parts
    return ".".join((module, *parts))


def _entry(
    definition: Definition,
    found: VirtualBest,
    solutions: Mapping[str, Solution],
    modules: Mapping[str, str],
) -> str:
    """The source that chooses."""
    fills = all(solutions[name].spec.destination_passing_style for name in modules)
    names = _arguments([*definition.inputs, *(definition.outputs if fills else ())], modules)
    axis = _in_docstring(found.axis)
    lines = [f'"""Chooses by {axis} between candidates of the archive, each in its own file.']
    lines += ["", *(_described(found, modules)), "Archive it with all of them as its parents."]
    lines += ['"""', ""]
    for name, module in modules.items():
        solution = solutions[name]
        where = _module(solution, module)
        lines.append(f"from .{where} import {solution.entry_function} as {module}")
    lines += ["", "", f"def run({', '.join(names)}):"]
    lines.append(f'    """Calls the candidate that was the fastest at this {axis}."""')
    lines.append(f"    size = {_size_of(definition, found.axis, names)}")
    call = f"({', '.join(names)})"
    for band, below in zip(found.bands, found.bands[1:], strict=False):
        bound = max(band.high, math.isqrt(band.high * below.low))
        lines.append(f"    if size <= {bound}:")
        lines.append(f"        return {modules[band.holder.candidate_id]}{call}")
    lines.append(f"    return {modules[found.bands[-1].holder.candidate_id]}{call}")
    return "\n".join(lines) + "\n"


def _described(found: VirtualBest, modules: Mapping[str, str]) -> list[str]:
    lines = []
    for band in found.bands:
        holder = band.holder
        name = _in_docstring(holder.name)
        lines.append(f"{modules[holder.candidate_id]}: {name} ({holder.candidate_id}),")
        took = f"{number(band.latency_us)} us at a {_in_docstring(found.axis)} of {band.words}"
        lines.append(f"    {took}; the best over all sizes {number(band.best_us)}.")
    return lines


def _in_docstring(name: str) -> str:
    """A name that anybody chose, as words that end no docstring."""
    return _UNSAFE_IN_DOCSTRING.sub("_", one_line(name, 40))


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _arguments(names: Sequence[str], modules: Mapping[str, str]) -> list[str]:
    """What `run` calls its arguments: as the definition does, or numbers where it cannot."""
    own = {"size", *modules.values()}
    plain = all(_is_name(name) and name not in own for name in names)
    return list(names) if plain else [f"argument_{n}" for n in range(1, len(names) + 1)]


def _size_of(definition: Definition, axis: str, names: Sequence[str]) -> str:
    """How host code reads an axis: the first input that has it, by the name of its argument."""
    for name, spec in zip(names, definition.inputs.values(), strict=False):
        if spec.shape is not None and axis in spec.shape:
            return f"{name}.shape[{list(spec.shape).index(axis)}]"
    raise RequestError(
        f"No input of {definition.name} has the axis {axis!r}, so host code cannot read it",
        remedy="Write the choice by hand.",
    )
