"""Definition, workloads and tensors of one function, written in FlashInfer-Trace's layout."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schema.flashinfer_trace import Definition, Trace
from .definition_draft import DefinitionDraft, draft_of, structure_of
from .reference_source import reference_of
from .traced_function import CallGroup, TracedFunction

OP_TYPE = "collected"
COUNTS = "collected.json"


@dataclass(frozen=True)
class WrittenDefinition:
    """One definition that was written.

    Attributes:
        calls: how many there were.
        unfinished: why its reference does not run; None where it should.
    """

    name: str
    workloads: int
    calls: int
    unfinished: str | None


def write_dataset(recorders: Sequence[TracedFunction], out: Path) -> list[WrittenDefinition]:
    """Writes what was recorded; and beside it, how often each workload was and what its share is.

    Args:
        out: a folder that is made where it is missing.
    """
    written: list[WrittenDefinition] = []
    counts: dict[str, Any] = {}
    total = sum(g.seconds for r in recorders for g in r.groups.values()) or 1.0
    for recorder in recorders:
        counts[recorder.name] = {"not_recorded": recorder.skipped, "definitions": {}}
        for number, draft in enumerate(_drafts(recorder)):
            name = _plain(recorder.name) + (f"_{number + 1}" if number else "")
            done, lines = _write(recorder, name, draft, out)
            written.append(done)
            counts[recorder.name]["definitions"][name] = [
                {"uuid": uuid, "calls": g.count, "host_time_share": round(g.seconds / total, 6)}
                for uuid, g in lines
            ]
    out.mkdir(parents=True, exist_ok=True)
    (out / COUNTS).write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return written


def _drafts(recorder: TracedFunction) -> list[DefinitionDraft]:
    """A draft for each structure of calls, the most frequent first."""
    found: dict[Any, list[CallGroup]] = {}
    for group in list(recorder.groups.values()):
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
) -> tuple[WrittenDefinition, list[tuple[str, CallGroup]]]:
    reference, why = reference_of(recorder.name, recorder.original, draft.inputs, draft.constants)
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
    lines: list[str] = []
    named: list[tuple[str, CallGroup]] = []
    pairs = sorted(zip(draft.groups, draft.sizes, strict=True), key=lambda pair: -pair[0].count)
    for group, sizes in pairs:
        said = json.dumps([sizes, group.numbers, sorted(map(str, group.tensors.items()))])
        uuid = hashlib.sha256(f"{name} {said}".encode()).hexdigest()[:12]
        workload = {"uuid": uuid, "axes": sizes, "inputs": _inputs(group, draft, name, uuid, out)}
        trace = Trace.model_validate({"definition": name, "workload": workload})
        lines.append(trace.model_dump_json(exclude_unset=True) + "\n")
        named.append((uuid, group))
    place = out / "workloads" / OP_TYPE / f"{name}.jsonl"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("".join(lines), encoding="utf-8")
    calls = sum(group.count for group in draft.groups)
    return WrittenDefinition(name, len(lines), calls, why), named


def _inputs(
    group: CallGroup, draft: DefinitionDraft, name: str, uuid: str, out: Path
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    path = Path("blob", "workloads", OP_TYPE, name, f"{uuid}.safetensors")
    for key in draft.inputs:
        if key in group.numbers:
            found[key] = {"type": "scalar", "value": group.numbers[key]}
        elif key in group.stored:
            found[key] = {"type": "safetensors", "path": path.as_posix(), "tensor_key": key}
        else:
            found[key] = {"type": "random"}
    if group.stored:
        from safetensors.torch import save_file

        (out / path).parent.mkdir(parents=True, exist_ok=True)
        save_file(group.stored, out / path)
    return found


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "unnamed"
