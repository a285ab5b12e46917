"""Definition, workloads and tensors of one function, written in FlashInfer-Trace's layout."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...schema.flashinfer_trace import Definition, Trace
from ..recording.call_groups import CallGroup, StoredContents
from ..recording.traced_function import TracedFunction
from .definition_draft import DefinitionDraft, draft_of, structure_of
from .reference_source import reference_of

OP_TYPE = "collected"
COUNTS = "collected.json"


@dataclass(frozen=True)
class WrittenDefinition:
    """One definition that was written.

    Attributes:
        calls: how many there were.
        unfinished: why its reference does not run; None where it should.
        draft: what it was made of.
    """

    name: str
    workloads: int
    calls: int
    unfinished: str | None
    draft: DefinitionDraft


@dataclass(frozen=True)
class WrittenWorkload:
    """One workload that was written, and the calls that it stands for."""

    uuid: str
    group: CallGroup
    contents: StoredContents | None

    @property
    def part(self) -> float:
        """Of the group's calls, by how often these contents were seen among those kept."""
        if self.contents is None:
            return 1.0
        return self.contents.count / sum(contents.count for contents in self.group.contents)

    @property
    def recorded(self) -> float:
        """Calls that were recorded."""
        return self.group.count * self.part

    def summary(self, stands_for: float, seconds: float) -> dict[str, Any]:
        """What is said of it beside the dataset.

        Args:
            stands_for: calls, each that was recorded.
            seconds: of the host, in all recorded functions together.
        """
        strides = {n: list(t.strides) for n, t in self.group.tensors.items() if t.strides}
        found: dict[str, Any] = {
            "uuid": self.uuid,
            "calls": round(self.recorded * stands_for),
            "host_time_share": round(self.group.seconds * self.part * stands_for / seconds, 6),
        }
        if strides:
            found["strides"] = strides
        return found


def write_dataset(recorders: Sequence[TracedFunction], out: Path) -> list[WrittenDefinition]:
    """Writes what was recorded; and beside it, how often each workload was and what its share is.

    Args:
        out: a folder that is made where it is missing.
    """
    written: list[WrittenDefinition] = []
    counts: dict[str, Any] = {}
    total = sum(recorder.seconds for recorder in recorders) or 1.0
    for recorder in recorders:
        drafts = _drafts(recorder)
        counts[recorder.name] = {
            "calls": recorder.calls,
            "recorded": sum(group.count for group in recorder.groups.values()),
            "not_recorded": recorder.skipped,
            "contents_not_kept": recorder.contents_not_kept,
            "definitions": {},
        }
        for number, draft in enumerate(drafts):
            name = _plain(recorder.name) + (f"_{number + 1}" if number else "")
            done, workloads = _write(recorder, name, draft, out)
            written.append(done)
            counts[recorder.name]["definitions"][name] = [
                workload.summary(recorder.stands_for, total) for workload in workloads
            ]
    out.mkdir(parents=True, exist_ok=True)
    (out / COUNTS).write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return written


def _drafts(recorder: TracedFunction) -> list[DefinitionDraft]:
    """A draft for each structure of calls, the most frequent first."""
    found: dict[Any, list[CallGroup]] = {}
    for group in list(recorder.groups.values()):
        if not group.count:
            continue  # of calls that all raised an exception
        structure = structure_of(group)
        if structure is None:
            reason = "outputs or types that no definition has"
            recorder.skipped[reason] = recorder.skipped.get(reason, 0) + group.count
            continue
        found.setdefault(structure, []).append(group)
    drafts = [draft_of(groups) for groups in found.values()]
    return sorted(drafts, key=lambda draft: -sum(group.count for group in draft.groups))


def _write(
    recorder: TracedFunction, name: str, draft: DefinitionDraft, out: Path
) -> tuple[WrittenDefinition, list[WrittenWorkload]]:
    reference, why = reference_of(recorder, draft)
    definition = Definition.model_validate(
        {
            "name": name,
            "op_type": OP_TYPE,
            "description": f"A draft, made of calls of {recorder.name}.",
            "axes": draft.axes,
            "inputs": draft.inputs,
            "outputs": draft.outputs,
            "reference": reference,
        }
    )
    place = out / "definitions" / OP_TYPE / f"{name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(definition.model_dump_json(indent=1, exclude_unset=True) + "\n", "utf-8")
    workloads = [
        WrittenWorkload(_uuid(name, group, sizes, contents), group, contents)
        for group, sizes in zip(draft.groups, draft.sizes, strict=True)
        for contents in (group.contents or [None])
    ]
    of_group = {id(g): sizes for g, sizes in zip(draft.groups, draft.sizes, strict=True)}
    workloads.sort(key=lambda workload: -workload.recorded)
    lines: list[str] = []
    for workload in workloads:
        said = {"uuid": workload.uuid, "axes": of_group[id(workload.group)]}
        said["inputs"] = _inputs(recorder, workload, draft, name, out)
        trace = Trace.model_validate({"definition": name, "workload": said})
        lines.append(trace.model_dump_json(exclude_unset=True) + "\n")
    place = out / "workloads" / OP_TYPE / f"{name}.jsonl"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("".join(lines), encoding="utf-8")
    calls = round(sum(group.count for group in draft.groups) * recorder.stands_for)
    return WrittenDefinition(name, len(lines), calls, why, draft), workloads


def _uuid(
    name: str, group: CallGroup, sizes: dict[str, int], contents: StoredContents | None
) -> str:
    said = json.dumps([sizes, group.numbers, sorted(map(str, group.tensors.items()))])
    said += contents.digest if contents else ""
    return hashlib.sha256(f"{name} {said}".encode()).hexdigest()[:12]


def _inputs(
    recorder: TracedFunction,
    workload: WrittenWorkload,
    draft: DefinitionDraft,
    name: str,
    out: Path,
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    group = workload.group
    stored = workload.contents.tensors if workload.contents else {}
    path = Path("blob", "workloads", OP_TYPE, name, f"{workload.uuid}.safetensors")
    for key in draft.inputs:
        if key in group.numbers:
            found[key] = {"type": "scalar", "value": group.numbers[key]}
        elif key in stored:
            found[key] = {"type": "safetensors", "path": path.as_posix(), "tensor_key": key}
        else:
            found[key] = {"type": "random"}
            if (statistics := recorder.statistics(group, key)) is not None:
                found[key]["statistics"] = statistics.model_dump(mode="json")
    if stored:
        from safetensors.torch import save_file

        (out / path).parent.mkdir(parents=True, exist_ok=True)
        save_file(stored, out / path)
    return found


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "unnamed"
