"""A FlashInfer-Trace dataset: the operators, their solutions, and what was judged of them.

The layout is that of FlashInfer-Bench's repository, which its released versions read as well. Its
reports and `apply` know of no device, so a dataset holds the traces of one: the fastest kernel of
another would be recommended on this one.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ...errors import RequestError
from ...schema.flashinfer_trace import (
    EvaluationStatus,
    SafetensorsInput,
    Solution,
    Trace,
    definition_hash,
)
from ...workloads.operators import BASELINE_AUTHOR, Operator
from ..store.archive import Archive
from ..store.entry import Node
from . import readme
from .names import FileNames, file_part, new_folder
from .reference_times import ReferenceKind, ReferenceTimes
from .trace_lines import TraceLines

if TYPE_CHECKING:
    from ...workloads.dataset import Dataset

UNVERIFIED = "candidates signed by no key that is trusted here"
OTHER_DEFINITION = "candidates judged against another version of their definition"
OTHER_DEVICE = "candidates timed or refused on another device"
NO_OPERATOR = "candidates of operators that are not here"
UNDECIDED = "candidates of which nothing was decided, as those that were only compiled"
NO_FILE = "tensor files that workloads name and the dataset lacks"


@dataclass
class OperatorPart:
    """What of one operator is in a dataset, in files of a name of its own."""

    operator: Operator
    name: str
    solutions: list[Solution] = field(default_factory=list[Solution])
    traces: list[Trace] = field(default_factory=list[Trace])

    @property
    def passed(self) -> list[Trace]:
        """The traces that have a latency."""
        return [
            t
            for t in self.traces
            if t.evaluation and t.evaluation.status is EvaluationStatus.PASSED
        ]


@dataclass(frozen=True)
class ExportedDataset:
    """A dataset that was written.

    Attributes:
        gpu: the device of its traces as refs name it; None when nothing was timed.
        left_out: reasons, with how often.
    """

    folder: Path
    gpu: str | None
    parts: tuple[OperatorPart, ...]
    left_out: Counter[str]

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind were written."""
        return {
            "definition": len(self.parts),
            "workload": sum(len(part.operator.workloads) for part in self.parts),
            "solution": sum(len(part.solutions) for part in self.parts),
            "trace": sum(len(part.traces) for part in self.parts),
        }

    @property
    def count_words(self) -> str:
        """The counts, as in a sentence."""
        words = (f"{n} {name}{'' if n == 1 else 's'}" for name, n in self.counts.items())
        return ", ".join(words)


def export_dataset(
    archive: Archive,
    dataset: Dataset,
    out: Path,
    *,
    definitions: Sequence[str] = (),
    gpu: str | None = None,
    claimed: bool = False,
    norm_errors: bool = False,
) -> ExportedDataset:
    """Writes operators and what the archive knows of them as a FlashInfer-Trace dataset.

    Args:
        archive: whose candidates become solutions, and whose records become traces.
        dataset: whose operators are written, with their shipped solutions and peers.
        out: a folder that does not exist yet, or is empty.
        definitions: names of operators; all of them when empty.
        gpu: the device of the traces, as `best` names it; may be left out where there is one.
        claimed: keep claimed times beside sealed ones.
        norm_errors: give relative errors in norm where those of elements were not measured.

    Raises:
        RequestError: when the folder is in use, or there are several devices and none is named.
    """
    new_folder(out)
    operators = [dataset.operator(name) for name in definitions]
    operators = operators or list(dataset.operators.values())
    nodes = [node for operator in operators for node in archive.iter(operator.name)]
    gpu = _chosen_gpu(nodes, gpu)
    left_out: Counter[str] = Counter()
    if not definitions:
        every = sum(1 for _ in archive.iter())
        left_out[NO_OPERATOR] = every - len(nodes)
    parts: list[OperatorPart] = []
    files, names = FileNames(), FileNames()
    for operator in operators:
        lines, solutions = _gathered(archive, operator, gpu, left_out, names)
        traces = lines.traces(claimed=claimed, norm_errors=norm_errors)
        parts.append(OperatorPart(operator, files.take(operator.name), solutions, traces))
    for part in parts:
        _write(part, out, left_out)
    done = ExportedDataset(out, gpu, tuple(parts), +left_out)
    (out / "README.md").write_text(readme.page(done), encoding="utf-8")
    return done


def _chosen_gpu(nodes: Sequence[Node], gpu: str | None) -> str | None:
    devices = sorted({node.hardware for node in nodes if node.latency_us is not None})
    if gpu is None and len(devices) > 1:
        raise RequestError(
            f"Candidates were timed on {', '.join(devices)}, and a dataset speaks of one device",
            remedy="Say which with --gpu; write the others into folders of their own.",
        )
    if gpu is not None and gpu not in {node.hardware for node in nodes}:
        raise RequestError(
            f"No candidate ran on {gpu}", remedy=f"There are: {', '.join(devices) or 'none'}."
        )
    return gpu or (devices[0] if devices else None)


def _gathered(
    archive: Archive,
    operator: Operator,
    gpu: str | None,
    left_out: Counter[str],
    names: FileNames,
) -> tuple[TraceLines, list[Solution]]:
    """The lines of an operator's candidates on a device, and its solutions, shipped and judged."""
    shipped = _shipped(operator, names)
    baseline = operator.baseline()
    hashes = {ReferenceKind.DEFINITION: _hashed(operator.reference())}
    if baseline is not None:
        hashes[ReferenceKind.BASELINE] = _hashed(baseline)
    lines = TraceLines(operator.definition, operator.workloads, ReferenceTimes(hashes), left_out)
    found = {solution.content_hash(): solution for solution in shipped}
    digest = definition_hash(operator.definition)
    archived: set[str] = set()
    for node in archive.iter(operator.name):
        archived.add(node.evaluation_id)
        if reason := _unfit(node, gpu):
            left_out[reason] += 1
            continue
        record = archive.read(node)
        if record.candidate.definition_digest != digest:
            left_out[OTHER_DEFINITION] += 1
            continue
        solution = found.get(node.content_hash) or _named(record.solution(), node)
        if lines.add(record.evaluation, solution.name, node.candidate_id):
            found[node.content_hash] = solution
        else:
            left_out[UNDECIDED] += 1
    # Trials that were not archived are more evidence on a program that is in the dataset.
    for record, node in archive.trials.counted(operator.name, archived):
        solution = found.get(node.content_hash)
        here = node.hardware == gpu and record.candidate.definition_digest == digest
        if solution is not None and here:
            lines.add(record.evaluation, solution.name, record.candidate_id)
    return lines, list(found.values())


def _unfit(node: Node, gpu: str | None) -> str | None:
    if not node.verified:
        return UNVERIFIED
    return None if node.hardware == gpu else OTHER_DEVICE


def _hashed(solution: Solution) -> tuple[str, str]:
    return solution.content_hash(), solution.name


def _shipped(operator: Operator, names: FileNames) -> list[Solution]:
    """The operator's own solutions and peers; its baseline by the author that says so."""
    baseline = operator.baseline()
    chosen = baseline.content_hash() if baseline else ""
    found: dict[str, Solution] = {}
    for solution in (operator.solutions() | operator.peers()).values():
        content = solution.content_hash()
        author = BASELINE_AUTHOR if content == chosen else file_part(solution.author)
        if content not in found:
            name = names.take(solution.name, content)
            found[content] = solution.model_copy(update={"author": author, "name": name})
    return list(found.values())


def _named(solution: Solution, node: Node) -> Solution:
    """An archived candidate under a name of its own in the whole dataset."""
    name = f"{file_part(solution.name)}_{node.content_hash[:8]}"
    author = file_part(solution.author)
    return solution.model_copy(update={"name": name, "author": author})


# --- files ------------------------------------------------------------------------------------


def _write(part: OperatorPart, out: Path, left_out: Counter[str]) -> None:
    definition = part.operator.definition
    group, name = file_part(definition.op_type), part.name
    _write_json(out / "definitions" / group / f"{name}.json", definition)
    workloads = [Trace(definition=definition.name, workload=w) for w in part.operator.workloads]
    _write_lines(out / "workloads" / group / f"{name}.jsonl", workloads)
    authors: dict[str, str] = {}
    for solution in part.solutions:
        authors[solution.name] = solution.author
        folder = out / "solutions" / solution.author / group / name
        _write_json(folder / f"{solution.name}.json", solution)
    by_author: dict[str, list[Trace]] = {}
    for trace in part.traces:
        by_author.setdefault(authors[trace.solution or ""], []).append(trace)
    for author, traces in by_author.items():
        _write_lines(out / "traces" / author / group / f"{name}.jsonl", traces)
    for path in _tensor_files(part.operator):
        if part.operator.root is None or not _copied(part.operator.root, path, out):
            left_out[NO_FILE] += 1


def _write_json(path: Path, model: BaseModel) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(model.model_dump_json(indent=2, exclude_unset=True) + "\n", encoding="utf-8")


def _write_lines(path: Path, models: Sequence[BaseModel]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{model.model_dump_json()}\n" for model in models)
    path.write_text(lines, encoding="utf-8")


def _tensor_files(operator: Operator) -> Iterator[PurePosixPath]:
    """The files that workloads name, each once."""
    named = {
        PurePosixPath(spec.path)
        for workload in operator.workloads
        for spec in workload.inputs.values()
        if isinstance(spec, SafetensorsInput)
    }
    yield from sorted(named)


def _copied(root: Path, path: PurePosixPath, out: Path) -> bool:
    """Copies a tensor file to its place in the dataset; False for one outside its own root."""
    source = (root / path).resolve()
    if path.is_absolute() or not source.is_relative_to(root.resolve()) or not source.is_file():
        return False
    if ".." in path.parts:
        return False
    target = out / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return True
