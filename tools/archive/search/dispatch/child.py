"""A child of several candidates that chooses between them on the host, by the size of one axis.

It is a first draft with its parents' code in files of their own, to be judged like any other: the
choice costs host time, and compiling all of them costs the first call. Parents must be called alike
and be all Python, or all CUDA C++ with torch's binding; between others a person or an agent has to
write the choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....errors import RequestError
from ....schema.flashinfer_trace import Binding, Definition, Language, Solution
from ....text import one_line
from ...store.archive import Archive
from ...store.entry import Node
from ...store.trials.lineage import candidate_or_trial
from ..record_holders import VirtualBest, candidate_times, virtual_best
from . import cuda_entry, python_entry
from .parts import Part, choice_between

PYTHON = (Language.PYTHON, Language.TRITON)
COMPILED = (Language.CUDA, Language.CPP)
MOST_PARENTS = 3


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
    best = archive.require_best(definition, gpu)
    ranked = [n for n in archive.iter(definition) if n.hardware == best.hardware and n.latency_us]
    times = (candidate_times(node, archive.read(node).evaluation) for node in ranked)
    found = virtual_best([t for t in times if t is not None], most)
    if found is None:
        raise RequestError(
            f"No candidate of {definition} was timed on every workload of a sample",
            remedy="Evaluate some on a GPU with scope 'sample' or 'full', and archive them.",
        )
    return found


def holders_among(archive: Archive, names: Sequence[str]) -> VirtualBest | None:
    """Who holds the records among these candidates and trials; None when none ranks.

    Raises:
        RequestError: when there is none of a name, or they are of several operators.
    """
    judged = [candidate_or_trial(archive, name) for name in names]
    if len({node.definition for node, _ in judged}) > 1:
        raise RequestError(
            "A choice by size is between programs of one operator",
            remedy="Name candidates or evaluations of one definition.",
        )
    times = [candidate_times(node, record.evaluation) for node, record in judged]
    return virtual_best([t for t in times if t is not None], MOST_PARENTS)


def dispatching_child(archive: Archive, definition: Definition, found: VirtualBest) -> Solution:
    """A solution that calls the holder of each size.

    Raises:
        RequestError: when one candidate holds every record, or the holders cannot be joined.
    """
    holders = found.holders
    if len(holders) < 2:
        raise RequestError(
            f"{found.best.name} ({found.best.candidate_id}) is the fastest at every size that was"
            f" timed, or as good as it: a choice by {found.axis} would gain nothing",
            remedy="Look for another program that is faster at some sizes.",
        )
    solutions = [candidate_or_trial(archive, node.candidate_id)[1].solution() for node in holders]
    compiled = all(solution.spec.language in COMPILED for solution in solutions)
    parts = [
        Part(f"part_{_identifier(node)}" if compiled else f"part_{number}", node, solution)
        for number, (node, solution) in enumerate(zip(holders, solutions, strict=True), 1)
    ]
    if words := _why_not(parts, compiled=compiled):
        bands = "; ".join(
            f"{band.holder.candidate_id} at a {found.axis} of {band.words}" for band in found.bands
        )
        by_hand = "Write the choice by hand, in a workspace opened from one of the holders"
        raise RequestError(words, remedy=f"{by_hand}: {bands}.")
    choice = choice_between(definition, found, parts)
    if compiled:
        return _child(parts, f"by {choice.axis}", cuda_entry.cuda_files(choice, parts))
    return _child(parts, f"by {choice.axis}", python_entry.python_files(definition, choice, parts))


def _identifier(node: Node) -> str:
    """A candidate's id, or a trial's, as part of a name of C++."""
    return node.candidate_id.replace("-", "_")


def _why_not(parts: Sequence[Part], *, compiled: bool) -> str:
    """Why the parents cannot be joined, in words; empty when they can."""
    for part in parts:
        spec, who = part.solution.spec, f"{part.node.name} ({part.node.candidate_id})"
        if not compiled and spec.language not in PYTHON:
            return (
                f"{who}, a record holder, is written in {spec.language}, which the choice, being "
                "Python, cannot call"
            )
        if compiled and spec.binding is Binding.TVM_FFI:
            return f"{who}, a record holder, is bound by tvm-ffi; the choice is bound by torch"
    if len({part.solution.spec.destination_passing_style for part in parts}) > 1:
        named = _named([part.node for part in parts])
        return f"Of {named} some fill their outputs and some return them"
    return cuda_entry.why_not(parts) if compiled else python_entry.why_not(parts)


def _child(parts: Sequence[Part], how: str, files: Mapping[str, str]) -> Solution:
    """The solution of these files, the first of which is the entry."""
    specs = [part.solution.spec for part in parts]
    languages = {spec.language for spec in specs}
    whole = (Language.CUDA, Language.CPP, Language.TRITON, Language.PYTHON)
    language = next(known for known in whole if known in languages)
    return Solution.model_validate(
        {
            "name": "dispatching",
            "definition": parts[0].solution.definition,
            "author": "kernel-harness",
            "spec": {
                "language": language,
                "target_hardware": specs[0].target_hardware,
                "entry_point": f"{next(iter(files))}::run",
                "destination_passing_style": specs[0].destination_passing_style,
                "dependencies": sorted({name for spec in specs for name in spec.dependencies}),
                "binding": Binding.TORCH if language in COMPILED else None,
            },
            "sources": [{"path": path, "content": text} for path, text in files.items()],
            "description": f"Chooses {how} between {_named([part.node for part in parts])}.",
        }
    )


def _named(holders: Sequence[Node]) -> str:
    return ", ".join(f"{one_line(node.name, 60)} ({node.candidate_id})" for node in holders)
